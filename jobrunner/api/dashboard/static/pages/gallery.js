// What jobs made, as pictures and clips, the newest first.

import { get, session, stream } from "../api.js";
import { empty, h, icon, media, problem, seconds, when } from "../parts.js";
import { view } from "../viewer.js";

export const title = "Gallery";

const PAGE = 48;
const KINDS = [["", "All"], ["image", "Pictures"], ["video", "Clips"], ["audio", "Sounds"]];
const SOON_MS = 400;
const TOP_PX = 200;

export async function show(main, { query, signal }) {
  const wanted = { kind: query.kind ?? "", task: query.task ?? "", user_id: query.user_id ?? "" };
  const tiles = h("ul", { class: "tiles", "aria-label": "Results" });
  const fresh = h("button", { class: "chip", hidden: true });
  const more = h("button", { class: "more", hidden: true }, "Show more");
  const none = h("div");
  let shown = []; // artifacts, as the tiles are
  let cursor = null;
  let turn = 0;

  const page = (after) => get("/v1/artifacts", { ...wanted, limit: PAGE, cursor: after }, { signal });
  const left = (artifact) => tiles.children[shown.indexOf(artifact)]?.querySelector("button").focus();
  const tileOf = (artifact) => tile(artifact, () => view(shown, shown.indexOf(artifact), { signal, left }));

  /** Read the newest anew: after another choice, or when the reader asks for what is new. */
  async function begin() {
    const mine = ++turn;
    more.hidden = fresh.hidden = true;
    await guarded(async () => {
      const found = await page(null);
      if (mine !== turn) return;
      shown = found.data;
      tiles.replaceChildren(...shown.map(tileOf));
      none.replaceChildren(...(shown.length ? [] : [empty(nothing(wanted))]));
      went(found);
    }, begin);
  }
  async function goOn() {
    const mine = turn;
    more.disabled = true;
    await guarded(async () => {
      const found = await page(cursor);
      if (mine !== turn) return;
      shown = [...shown, ...found.data];
      tiles.append(...found.data.map(tileOf));
      none.replaceChildren();
      went(found);
    }, goOn);
    more.disabled = false;
  }
  function went(found) {
    cursor = found.next_cursor;
    more.hidden = !found.has_more;
  }
  async function guarded(act, again) {
    try {
      await act();
    } catch (error) {
      if (signal.aborted) return;
      none.replaceChildren(problem(error, { again }));
    }
  }

  /** Look for what is new. Whoever has scrolled down is only told: what they look at must not move. */
  async function look() {
    const mine = turn;
    const found = await page(null).catch(() => null); // the next event looks again
    if (!found || mine !== turn) return;
    const known = new Set(shown.map(({ id }) => id));
    const added = found.data.filter(({ id }) => !known.has(id));
    if (!added.length) return;
    if (window.scrollY > TOP_PX || added.length === PAGE) {
      fresh.textContent = `${added.length === PAGE ? `${PAGE} or more` : added.length} new`;
      fresh.hidden = false;
      return;
    }
    shown = [...added, ...shown];
    tiles.prepend(...added.map(tileOf));
    none.replaceChildren();
  }

  fresh.addEventListener("click", () => {
    window.scrollTo(0, 0);
    begin();
  });
  more.addEventListener("click", goOn);
  const near = new IntersectionObserver(([seen]) => seen.isIntersecting && !more.disabled && goOn(), { rootMargin: "600px" });
  near.observe(more);
  signal.addEventListener("abort", () => near.disconnect());

  const choose = (change) => {
    Object.assign(wanted, change);
    const words = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value)).toString();
    history.replaceState(null, "", words ? `#/gallery?${words}` : "#/gallery");
    begin();
  };
  const { data: tasks } = await get("/v1/tasks", null, { signal });
  main.append(
    h("div", { class: "page-head" }, h("h1", null, title), fresh, filters(wanted, tasks, choose)),
    tiles, none, more,
  );
  await begin();
  let timer = null;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, SOON_MS);
  };
  stream("/v1/events", { kind: "status", status: "completed" }, { status: soon, reset: soon }, { signal });
}

const nothing = ({ kind, task, user_id }) =>
  kind || task || user_id
    ? "Nothing that was made fits."
    : ["Nothing was made yet. ", session.may("submit") && h("a", { href: "#/submit" }, "Submit a job"), session.may("submit") && "."];

function filters(wanted, tasks, choose) {
  const kinds = KINDS.map(([kind, words]) => {
    const chip = h("button", { class: "chip", "aria-pressed": String(kind === wanted.kind), on: { click } }, kind && icon(kind), words);
    function click() {
      for (const each of chip.parentElement.children) each.setAttribute("aria-pressed", String(each === chip));
      choose({ kind });
    }
    return chip;
  });
  const task = h("select", { "aria-label": "Task", on: { change: () => choose({ task: task.value }) } },
    h("option", { value: "" }, "All tasks"), tasks.map(({ name }) => h("option", { value: name }, name)));
  task.value = wanted.task;
  const user = h("input", {
    type: "search", placeholder: "All users", "aria-label": "User", autocomplete: "off", dataset: { search: "" }, value: wanted.user_id,
    on: { change: () => choose({ user_id: user.value.trim() }) },
  });
  return h("div", { class: "toolbar gallery-filters" }, h("div", { class: "toolbar", role: "group", "aria-label": "Kind" }, kinds), task, session.userId === null && user);
}

const SOUND_RATIO = 1.5;

/** One result, as wide as it is: the row's height is what all have in common. */
function tile(artifact, open) {
  const { width, height, kind, task, user_id, created_at, duration_s } = artifact;
  const ratio = width && height ? Math.min(Math.max(width / height, 0.5), 2.5) : SOUND_RATIO;
  const seen = media(artifact, { thumb: true });
  if (kind === "video") playsUnderThePointer(seen);
  const length = kind === "video" && duration_s != null && h("span", { class: "length" }, icon(kind), seconds(duration_s));
  return h("li", { vars: { "--ratio": ratio } },
    h("button", { class: "tile", dataset: { row: "" }, "aria-label": `${task}, ${kind}, for ${user_id ?? "nobody"}`, on: { click: open } }, seen, length),
    h("p", { class: "caption" }, h("span", { class: "cut" }, task), when(created_at)));
}

function playsUnderThePointer(clip) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  clip.loop = true;
  clip.addEventListener("pointerenter", () => clip.play().catch(() => {})); // left again before it could
  clip.addEventListener("pointerleave", () => clip.pause());
}
