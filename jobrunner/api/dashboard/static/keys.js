// The keyboard. A page that wants a key for itself handles `keydown` before it gets here, and calls preventDefault.
// What a page marks with data-search is where `/` leads; what it marks with data-row is what `j` and `k` walk over:
// links, or whatever else takes the focus and opens with Enter.

const GO = { n: "#/now", j: "#/jobs", g: "#/gallery", s: "#/submit" };
const CHORD_MS = 1500;

/** All there is, for the page of help. */
export const KEYS = [
  [["g", "n"], "Now"],
  [["g", "j"], "Jobs"],
  [["g", "g"], "Gallery"],
  [["g", "s"], "Submit"],
  [["/"], "Search"],
  [["j"], "Next row"],
  [["k"], "Row before"],
  [["Enter"], "Open the row"],
  [["?"], "This page"],
  [["Esc"], "Close, or leave a field"],
];

const VERBS = {
  "/": search,
  "?": () => { location.hash = "#/help"; },
  j: () => walk(1),
  k: () => walk(-1),
};

export function listen() {
  let goUntil = 0;
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.body.classList.contains("out") || document.querySelector("dialog[open]")) return;
    if (key === "Escape") return escape(target);
    if (target.matches("input, select, textarea, [contenteditable]")) return;
    const going = performance.now() < goUntil && GO[key];
    goUntil = key === "g" && !going ? performance.now() + CHORD_MS : 0;
    const act = going ? () => { location.hash = going; } : VERBS[key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function escape(target) {
  if (target.matches("input, select, textarea")) target.blur();
  else if (location.hash === "#/help" && history.length > 1) history.back();
}

function search() {
  const field = document.querySelector("[data-search]");
  if (field) field.focus();
  else location.hash = "#/jobs";
}

function walk(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}
