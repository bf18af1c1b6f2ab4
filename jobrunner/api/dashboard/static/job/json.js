// JSON for people: one name a line, what is nested folded, long text whole, addresses as links.

import { h, icon, say } from "../parts.js";

const OPEN_DEPTH = 2;
const OPEN_MEMBERS = 30;
const LONG = 600;
const PLAIN = 12;

/** `value` with a heading and a button that copies it. */
export function readable(heading, value, { nothing = "Nothing." } = {}) {
  const copy = h("button", {
    class: "quiet square",
    "aria-label": `Copy ${heading.toLowerCase()}`,
    on: { click: () => copied(JSON.stringify(value, null, 2)) },
  }, icon("copy"));
  const blank = value == null || (typeof value === "object" && !Object.keys(value).length);
  return h("section", { class: "job-json" },
    h("div", { class: "section-head" }, h("h2", null, heading), !blank && copy),
    h("div", { class: "sheet padded" }, blank ? h("p", { class: "faint" }, nothing) : tree(value)));
}

/** Put `text` on the clipboard; where the browser forbids it, say so. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.", "ok");
  } catch {
    say("The browser lets nothing be copied here: over http that works on localhost alone.", "warning");
  }
}

/** A value as nodes; names of an object, and numbers of a list, before their values. */
export function tree(value, depth = 0) {
  if (value === null || typeof value !== "object") return leaf(value);
  if (isPlain(value)) return h("span", { class: "json-bare" }, value.join(", "));
  const members = Object.entries(value);
  if (!members.length) return h("span", { class: "json-null" }, Array.isArray(value) ? "[ ]" : "{ }");
  return h("dl", { class: "json" }, members.map(([name, each]) => member(name, each, depth)));
}

function member(name, value, depth) {
  const size = value !== null && typeof value === "object" ? Object.keys(value).length : 0;
  if (!size || isPlain(value)) return h("div", null, h("dt", null, name), h("dd", null, tree(value)));
  const counted = Array.isArray(value) ? `[${size}]` : `{${size}}`;
  const summary = h("summary", null, name, " ", h("span", { class: "json-null" }, counted));
  const open = depth < OPEN_DEPTH && size <= OPEN_MEMBERS;
  return h("div", { class: "json-nest" },
    h("dt", { class: "visually-hidden" }, name),
    h("dd", null, folded(summary, () => tree(value, depth + 1), open)));
}

/** A few numbers, which read best on one line. */
const isPlain = (value) =>
  Array.isArray(value) && value.length > 0 && value.length <= PLAIN && value.every((each) => typeof each === "number" || typeof each === "boolean");

/** What is folded is drawn when it is opened: a result may be large. */
function folded(summary, draw, open) {
  const node = h("details", { open }, summary);
  const fill = () => { if (node.open && node.children.length === 1) node.append(draw()); };
  node.addEventListener("toggle", fill);
  fill();
  return node;
}

function leaf(value) {
  if (value === null) return h("span", { class: "json-null" }, "null");
  if (typeof value !== "string") return h("span", { class: "json-bare" }, String(value));
  if (/^(https?:\/\/|\/v1\/)\S+$/.test(value)) return h("a", { href: value, target: "_blank", rel: "noopener noreferrer", class: "json-text" }, value);
  if (value.length <= LONG) return h("span", { class: "json-text" }, value);
  const rest = h("span", { class: "json-text" }, value.slice(0, LONG), "…");
  const all = h("button", { class: "chip", on: { click: () => { rest.textContent = value; all.remove(); } } }, `all ${value.length.toLocaleString()} letters`);
  return h("span", null, rest, " ", all);
}
