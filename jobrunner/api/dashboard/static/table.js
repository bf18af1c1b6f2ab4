// A table of facts; on a phone each row becomes a card, on which every fact has its column's name.

import { h } from "./parts.js";

/**
 * `columns`: [{label, cell, kind}]: `cell` makes the content of a row's cell, `kind` is a class of the cell, such as
 * "num". The first cell is the row's name. `keyOf` tells rows apart when the table is drawn anew.
 */
export function table(caption, columns, rows, keyOf) {
  const head = columns.map(({ label, kind }) => h("th", { scope: "col", class: kind }, label));
  const body = rows.map((row) => {
    const cells = columns.map((column, at) => cell(column, row, at));
    return h("tr", { dataset: { key: keyOf(row) } }, cells);
  });
  return h(
    "div",
    { class: "sheet scroll", tabIndex: 0, role: "region", "aria-label": caption },
    h("table", { class: "cards" },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", null, h("tr", null, head)),
      h("tbody", null, body)),
  );
}

function cell({ label, cell: content, kind }, row, at) {
  if (at === 0) return h("th", { scope: "row", class: kind }, content(row));
  return h("td", { class: kind, dataset: { label } }, content(row));
}
