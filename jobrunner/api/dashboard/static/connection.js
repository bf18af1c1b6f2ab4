// Whether what is shown is kept up to date. It is said once, in a strip above the page, however many parts notice.

import { say } from "./parts.js";

const lost = new Set();

/** `who`, e.g. the path of a stream, had no answer. */
export function unreached(who) {
  lost.add(who);
  show();
}

/** `who` has one again. */
export function reached(who) {
  if (lost.delete(who) && !lost.size) say("Connected again.", "ok");
  show();
}

/** `who` asks no more. */
export function leave(who) {
  lost.delete(who);
  show();
}

function show() {
  document.getElementById("connection").hidden = !lost.size;
}
