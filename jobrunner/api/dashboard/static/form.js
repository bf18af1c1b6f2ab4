// A form made from a JSON Schema: the controls that hold other controls. What a control is, fields.js says.

import { choice, file, flag, json, naming, nextId, number, picker, prose, slot, text } from "./fields.js";
import { h, icon } from "./parts.js";
import { bounds, fits, same, understood } from "./schema.js";

const KINDS = { choice, file, flag, json, list, number, object, text, ways };

/**
 * `place`: {name, required, marked, of}. `marked`: it is said where it is optional; `of` says, to screen readers alone,
 * what an item belongs to.
 */
function control(schema, root, place) {
  const known = understood(schema, root);
  const made = KINDS[known.kind](known, { ...place, title: schema.title }, root);
  if (known.default !== undefined) made.fill(known.default);
  return made;
}

/** The control of a task's params. A schema that says nothing gets one for JSON. */
export function form(schema) {
  const known = understood(schema, schema);
  if (known.kind !== "object") return json({}, { name: "params", required: true });
  const whole = fieldsOf(known, schema, { marked: false });
  const wrong = slot();
  const needed = whole.parts.filter(({ required }) => required);
  const others = whole.parts.filter(({ required }) => !required);
  const element = h("div", { class: "stack" }, wrong.element,
    whole.parts.length === 0 && h("p", { class: "faint" }, "It takes no params."),
    grid(needed), others.length > 0 && [h("h3", null, "Optional"), grid(others)]);
  return { ...whole, ...withOwn(whole, wrong), element };
}

const grid = (parts) => h("div", { class: "fields" }, parts.map(({ control: { element } }) => element));

/** What is wrong with a control as a whole is said in `wrong`, the rest by its parts. */
const withOwn = (inner, wrong) => ({
  clear() {
    wrong.clear();
    inner.clear();
  },
  fail(path, message) {
    if (!inner.fail(path, message) && wrong.empty) wrong.show(message);
  },
});

/** A control for each of an object's fields; those with a fixed value have none. `fail` answers whether one took it. */
function fieldsOf(schema, root, { marked }) {
  const fixed = {};
  const parts = [];
  for (const [name, each] of Object.entries(schema.properties)) {
    const required = schema.required?.includes(name) ?? false;
    if (each.const !== undefined) fixed[name] = each.const;
    else parts.push({ name, required, otherwise: each.default, control: control(each, root, { name, required, marked }) });
  }
  return {
    parts,
    read() {
      const made = { ...fixed };
      for (const { name, required, otherwise, control: { read } } of parts) {
        const value = read();
        if (value !== undefined && (required || !same(value, otherwise))) made[name] = value;
      }
      return made;
    },
    fill(value) {
      for (const { name, otherwise, control: { fill } } of parts) fill(value?.[name] ?? otherwise);
    },
    check: () => parts.map((part) => part.control.check()).every(Boolean),
    clear: () => parts.forEach((part) => part.control.clear()),
    fail([name, ...rest], message) {
      const part = parts.find((each) => each.name === name);
      part?.control.fail(rest, message);
      return part !== undefined;
    },
  };
}

/** A named frame around controls. */
function frame(schema, place, ...content) {
  const wrong = slot();
  const said = [schema.description, bounds(schema)].filter(Boolean).join(" · ");
  const element = h("fieldset", { class: "wide" }, h("legend", null, naming(place)),
    said && h("p", { class: "hint" }, prose(said)), content, wrong.element);
  return { element, wrong };
}

/** An object inside another. One that may be left out is made once it is asked for: it may hold its own like. */
function object(schema, place, root) {
  let inner = null;
  const content = h("div");
  const asked = h("input", { type: "checkbox", id: nextId() });
  const ask = !place.required && h("p", { class: "inline" }, asked, h("label", { htmlFor: asked.id }, "Include it"));
  const { element, wrong } = frame(schema, place, ask, content);
  function open(yes) {
    asked.checked = yes;
    inner = yes ? fieldsOf(schema, root, { marked: true }) : null;
    content.replaceChildren(...(inner ? [grid(inner.parts)] : []));
  }
  asked.addEventListener("change", () => open(asked.checked));
  open(place.required);
  return {
    ...withOwn({ clear: () => inner?.clear(), fail: (path, message) => inner?.fail(path, message) ?? false }, wrong),
    element,
    read: () => inner?.read(),
    fill(value) {
      open(place.required || (value ?? null) !== null);
      inner?.fill(value);
    },
    check: () => inner?.check() ?? true,
  };
}

function list(schema, place, root) {
  const { minItems = 0, maxItems = Infinity } = schema;
  const files = understood(schema.items, root).kind === "file";
  const rows = h("ol", { class: "items" });
  const more = h("button", { type: "button", on: { click: () => add().focus() } }, icon("submit"), "Add one");
  const choose = files && picker("Choose files", (chosen) => chosen.forEach((each) => add(each)), { multiple: true, describes: `for ${place.name}` });
  const { element, wrong } = frame(schema, place, rows, h("div", { class: "toolbar" }, more, choose));
  let items = [];

  function add(value) {
    const item = control(schema.items, root, { name: String(items.length), required: true, of: place.name });
    if (value !== undefined) item.fill(value);
    items.push({ ...item, row: rowOf(item) });
    show();
    changed();
    return { focus: () => item.element.querySelector("input, select, textarea")?.focus() };
  }
  function rowOf(item) {
    const label = `Take ${place.name} ${items.length} out`;
    const out = h("button", { type: "button", class: "quiet square", "aria-label": label }, icon("close"));
    const row = h("li", null, item.element, out);
    out.addEventListener("click", () => {
      const kept = items.filter((each) => each.row !== row).map((each) => each.read());
      fill(kept);
      changed();
    });
    return row;
  }
  function show() {
    rows.replaceChildren(...items.map(({ row }) => row));
    more.disabled = items.length >= maxItems;
  }
  function changed() {
    wrong.clear();
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function fill(values) {
    const first = Array.isArray(values) ? values : [];
    items = [];
    for (const each of first) add(each);
    while (items.length < minItems) add();
    show();
  }
  fill();
  return {
    ...withOwn({
      clear: () => items.forEach((item) => item.clear()),
      fail([at, ...rest], message) {
        items[at]?.fail(rest, message);
        return at in items;
      },
    }, wrong),
    element,
    fill,
    read: () => (items.length === 0 && schema.default == null && !place.required ? undefined : items.map((item) => item.read())),
    check: () => items.map((item) => item.check()).every(Boolean),
  };
}

/** One of several kinds of value, chosen first. */
function ways(schema, place, root) {
  let inner = null;
  const titles = schema.ways.map(({ title, type, const: only }, n) => String(title ?? only ?? type ?? n + 1));
  const chooser = h("select", { id: nextId() }, h("option", { value: "" }, place.required ? "Choose one" : "–"),
    titles.map((each, n) => h("option", { value: String(n) }, each)));
  const content = h("div");
  const kind = h("div", { class: "field" }, h("label", { htmlFor: chooser.id }, "Kind"), chooser);
  const { element, wrong } = frame(schema, place, kind, content);
  function open(at) {
    chooser.value = at < 0 ? "" : String(at);
    inner = at < 0 ? null : control(schema.ways[at], root, { name: "value", required: true, of: place.name });
    content.replaceChildren(...(inner ? [inner.element] : []));
  }
  chooser.addEventListener("input", () => {
    wrong.clear();
    open(chooser.value === "" ? -1 : Number(chooser.value));
  });
  return {
    element,
    read: () => inner?.read(),
    fill(value) {
      open(value == null ? -1 : schema.ways.findIndex((way) => fits(value, way)));
      inner?.fill(value);
    },
    check() {
      if (inner) return inner.check();
      if (place.required) wrong.show("Choose one.");
      return !place.required;
    },
    clear() {
      wrong.clear();
      inner?.clear();
    },
    /** The server's path names the way before what is in it; of the ways not chosen nobody wants to hear. */
    fail([way, ...rest], message) {
      if (!inner) return wrong.show(message);
      if (!titles.includes(way)) return inner.fail(rest, message);
      if (way === titles[Number(chooser.value)]) inner.fail(rest, message);
    },
  };
}
