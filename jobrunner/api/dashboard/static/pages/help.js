// The keyboard, and where else to look.

import { KEYS } from "../keys.js";
import { h } from "../parts.js";

export const title = "Help";

export function show(main) {
  const rows = KEYS.map(([keys, what]) =>
    h("tr", null, h("th", { scope: "row" }, keys.map((key) => [h("kbd", null, key), " "])), h("td", null, what)),
  );
  main.append(
    h("div", { class: "page-head" }, h("h1", null, title)),
    h("section", { class: "narrow" },
      h("h2", null, "Keyboard"),
      h("div", { class: "sheet" }, h("table", null,
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Keys"), h("th", { scope: "col" }, "What they do"))),
        h("tbody", null, rows)))),
    h("section", { class: "narrow" },
      h("h2", null, "The API"),
      h("p", null, "All that these pages show and do goes through the public API: ",
        h("a", { href: "/docs" }, "its reference"), ", and ",
        h("a", { href: "/openapi.json" }, "the same for programs"), ".")),
  );
}
