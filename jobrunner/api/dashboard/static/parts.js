// The parts that all pages are made of. Whatever is shown is text: no function here takes markup.

import { now } from "./clock.js";
import { icon, svg } from "./icons.js";
import { ago, bytes, moment, seconds, spaced } from "./words.js";

export { icon } from "./icons.js";
export { bytes, count, money, seconds, spaced } from "./words.js";

const ATTRIBUTES = new Set(["form", "list"]); // as properties they can only be read
const ADDRESSES = new Set(["href", "src", "poster"]);
const SAFE = new Set(["http:", "https:", "blob:", "data:"]);

/**
 * An element. `attrs`: `class` (text, or a list in which what is false is left out), `on` ({click: f}), `dataset`,
 * `vars` (custom properties of CSS, {"--at": 0.5}), else properties and attributes; null and undefined are left out.
 * `children`: nodes, text, numbers, and lists of these; null and false are left out.
 */
export function h(tag, attrs, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs ?? {})) if (value != null) give(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false && child !== true));
  return node;
}

function give(node, name, value) {
  if (name === "class") node.className = [value].flat().filter(Boolean).join(" ");
  else if (name === "on") for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
  else if (name === "dataset") Object.assign(node.dataset, value);
  else if (name === "vars") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
  else if (ADDRESSES.has(name) && !SAFE.has(new URL(value, location.href).protocol)) return;
  else if (name in node && !ATTRIBUTES.has(name)) node[name] = value;
  else node.setAttribute(name, value);
}

/** Words in which `backticks` set code apart, as our errors and remedies are written. */
export const prose = (text) =>
  String(text).split(/`([^`]+)`/).map((part, at) => (at % 2 ? h("code", null, part) : part));

const SHAPES = {
  intent: "pending",
  running: "in_progress",
  done: "completed",
  ok: "completed",
  alive: "completed",
  dead: "failed",
  error: "failed",
  limited: "warning",
  left_alone: "warning",
};

/** A state of a job, step, worker or provider: by shape, word and colour. */
export function badge(status, text = spaced(status)) {
  const shape = SHAPES[status] ?? status;
  return h("span", { class: "badge", dataset: { status: shape } }, icon(shape), text);
}

/** How far it is: from 0 to 1, null where nobody knows. The element's `update(fraction, note)` moves it on. */
export function bar(fraction, note) {
  const track = h("progress", { max: 1, "aria-label": "Progress" });
  const words = h("span", { class: "bar-note" });
  const whole = h("div", { class: "bar" }, track, words);
  whole.update = (at, said) => {
    if (at == null) track.removeAttribute("value");
    else track.value = at;
    words.textContent = [at == null ? null : `${Math.floor(at * 100)} %`, said].filter(Boolean).join(" · ");
  };
  whole.update(fraction, note);
  return whole;
}

/**
 * A small drawing of `values`, oldest first, null where nothing was measured; `shape`: "bars" for counts, "line" for
 * measures. `label` and the highest and newest value, as `format` puts them, are its words.
 */
export function spark(values, { label, shape = "bars", format = String }) {
  const known = values.filter((value) => value != null);
  const top = Math.max(...known, 0);
  const said = known.length ? `now ${format(known.at(-1))}, at most ${format(top)}` : "nothing yet";
  const words = `${label}: ${said}`;
  const y = (value) => 23 - (top ? (value / top) * 21 : 0);
  const drawn = shape === "bars" ? columns(values, y) : strokes(values, y);
  const frame = { viewBox: `0 0 ${values.length} 24`, preserveAspectRatio: "none" };
  return svg(
    "svg",
    { class: `spark ${shape}`, role: "img", "aria-label": words, ...frame },
    svg("title", {}, words),
    svg("path", { class: "ground", d: `M0 23.5H${values.length}` }),
    svg("path", { class: "drawn", d: drawn }),
  );
}

const columns = (values, y) =>
  values.map((value, x) => (value ? `M${x + 0.1} 23V${y(value).toFixed(1)}h.8V23z` : "")).join("");

function strokes(values, y) {
  const at = (value, x) => `${x + 0.5} ${y(value).toFixed(1)}`;
  const step = (value, x) => {
    if (value == null) return "";
    if (x && values[x - 1] != null) return `L${at(value, x)}`;
    return values[x + 1] == null ? `M${x} ${y(value).toFixed(1)}h1` : `M${at(value, x)}`; // alone it is a dash
  };
  return values.map(step).join("");
}

/** A <time> that says "3 min ago", and goes on saying what is true. */
export function when(iso) {
  if (iso == null) return h("span", { class: "faint" }, "–");
  const ms = Date.parse(iso);
  return h("time", { dateTime: iso, title: moment(ms), dataset: { relative: "" } }, ago(ms, now()));
}

setInterval(() => {
  for (const each of document.querySelectorAll("time[data-relative]")) {
    const said = ago(Date.parse(each.dateTime), now());
    if (each.textContent !== said) each.textContent = said;
  }
}, 1000);

/**
 * Ask before it is done; resolves to whether the reader said yes. `text`: words or nodes; name the price, where there
 * is one. `verb` stands on the button: "Cancel 12 jobs", not "OK".
 */
export function confirmed({ title, text, verb, danger = false }) {
  const answer = Promise.withResolvers();
  const no = h("button", { value: "", autofocus: danger }, "Leave it");
  const yes = h("button", { value: "yes", class: danger ? "danger" : "primary", autofocus: !danger }, verb);
  const dialog = h(
    "dialog",
    { class: "ask", "aria-labelledby": "ask-title" },
    h("form", { method: "dialog" }, h("h2", { id: "ask-title" }, title), h("div", { class: "ask-text" }, text),
      h("div", { class: "ask-verbs" }, no, yes)),
  );
  dialog.addEventListener("close", () => {
    answer.resolve(dialog.returnValue === "yes");
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  return answer.promise;
}

const SAID_MS = { info: 5000, ok: 5000, warning: 10_000, error: 15_000 };

/** A passing remark, also to screen readers. `kind`: "info", "ok", "warning" or "error". */
export function say(text, kind = "info") {
  const shape = { ok: "completed", error: "failed" }[kind] ?? kind;
  const close = h("button", { class: "quiet square", "aria-label": "Close" }, icon("close"));
  const toast = h("div", { class: "toast", dataset: { kind } }, icon(shape), h("p", null, text), close);
  const leave = () => toast.remove();
  close.addEventListener("click", leave);
  let timer = setTimeout(leave, SAID_MS[kind]);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => { timer = setTimeout(leave, SAID_MS.info); });
  document.getElementById("said").append(toast);
}

/** What happened and what to do; `again` is called by a button that says so. */
export function problem(error, { again } = {}) {
  const fields = (error.errors ?? []).map(({ path, message }) =>
    h("li", null, path && [h("code", null, path), " "], prose(message)),
  );
  return h(
    "div",
    { class: "problem", role: "alert" },
    icon("failed"),
    h("div", { class: "stack" },
      h("p", { class: "strong" }, error.title ?? "This page broke"),
      h("p", null, prose(error.detail ?? error.message ?? error)),
      fields.length > 0 && h("ul", null, fields),
      error.requestId && h("p", { class: "faint" }, "Request ", h("code", null, error.requestId)),
      again && h("p", null, h("button", { on: { click: again } }, icon("retry"), "Try again"))),
  );
}

/** An artifact as what it is: a picture, a clip, a sound. `thumb`: small, still and silent, for lists. */
export function media(artifact, { thumb = false } = {}) {
  const { url, kind, mime } = artifact;
  const size = { width: artifact.width, height: artifact.height };
  const words = [kind, artifact.width && `${artifact.width} × ${artifact.height}`].filter(Boolean).join(", ");
  if (kind === "image") {
    return h("img", { class: "media", loading: "lazy", decoding: "async", alt: words, ...size, src: url });
  }
  if (kind === "video") {
    const still = { muted: true, tabIndex: -1, src: `${url}#t=0.1` };
    const clip = { controls: true, src: url };
    const how = thumb ? still : clip;
    return h("video", { class: "media", preload: "metadata", playsInline: true, "aria-label": words, ...size, ...how });
  }
  if (kind === "audio" && !thumb) return h("audio", { class: "media", controls: true, preload: "metadata", src: url });
  const said = artifact.duration_s == null ? bytes(artifact.size_bytes) : seconds(artifact.duration_s);
  const shape = kind === "audio" ? "audio" : "file";
  if (thumb) return h("span", { class: "media plain" }, icon(shape), said);
  return h("a", { class: "media plain", href: url, download: "" }, icon(shape), `${mime}, ${said}`);
}

/** What stands where there is nothing. */
export const empty = (...text) => h("p", { class: "empty" }, text);
