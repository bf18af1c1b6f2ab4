// One result in full, over the page; the arrow keys walk through its neighbours.

import { bytes, h, icon, media, seconds, when } from "./parts.js";

/**
 * Show `artifacts[at]`. `left` is told, once it is closed, which artifact was seen last; `signal` closes it.
 */
export function view(artifacts, at, { signal, left }) {
  const stand = h("div", { class: "stand" });
  const facts = h("div", { class: "stack" });
  const back = h("button", { class: "square quiet", "aria-label": "The one before", on: { click: () => go(-1) } }, turned());
  const next = h("button", { class: "square quiet", "aria-label": "The next one", on: { click: () => go(1) } }, icon("right"));
  const close = h("button", { class: "square quiet", "aria-label": "Close", autofocus: true, on: { click: () => dialog.close() } }, icon("close"));
  const dialog = h("dialog", { class: "viewer", "aria-label": "Result" }, stand,
    h("div", { class: "beside" }, h("div", { class: "toolbar" }, back, next, close), facts));

  function go(by) {
    const to = at + by;
    if (!artifacts[to]) return;
    at = to;
    show();
  }
  function show() {
    const artifact = artifacts[at];
    stand.replaceChildren(media(artifact));
    facts.replaceChildren(...told(artifact));
    back.disabled = at === 0;
    next.disabled = at === artifacts.length - 1;
  }
  function shut() {
    dialog.remove();
    if (!signal.aborted) left(artifacts[at]);
  }
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.target.matches("video, audio")) return; // there the arrows seek
    event.preventDefault();
    go(by);
  });
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("close", shut);
  signal.addEventListener("abort", () => dialog.close());
  show();
  document.body.append(dialog);
  dialog.showModal();
}

function turned() {
  const arrow = icon("right");
  arrow.classList.add("turned");
  return arrow;
}

function told(artifact) {
  const { id, job_id, task, user_id, mime, width, height, duration_s, size_bytes, created_at, url } = artifact;
  const facts = [
    ["User", user_id ?? "nobody"],
    ["Made", when(created_at)],
    ["File", mime],
    ["Size", [width && `${width} × ${height}`, bytes(size_bytes)].filter(Boolean).join(", ")],
    ["Length", duration_s == null ? null : seconds(duration_s)],
    ["Id", h("code", null, id)],
  ].filter(([, value]) => value != null);
  return [
    h("h2", null, h("code", null, task)),
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
    h("div", { class: "toolbar" },
      h("a", { class: "button primary", href: `#/jobs/${job_id}` }, "Open the job"),
      h("a", { class: "button", href: url, download: "" }, "Download")),
  ];
}
