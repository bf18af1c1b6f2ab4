// The controls of a form that hold one value each. All controls, these and those of form.js, are
//   {element, read(), fill(value), check(), fail(path, message), clear()}
// read: the value as JSON, files as File; undefined where it is left out. check: whether read can be sent; what is wrong
// is shown. fail: show what the server says of the value at `path` (names and numbers below this control).

import { bytes, h, icon, media } from "./parts.js";
import { bounds, ownTitle } from "./schema.js";

let made = 0;
export const nextId = () => `field-${++made}`;

/** Text in which `words` between backticks are code. */
export const prose = (text) => text.split("`").map((part, n) => (n % 2 ? h("code", null, part) : part));

/** Where it is said what is wrong with a control. */
export function slot() {
  const words = h("span");
  const element = h("p", { class: "wrong", id: nextId(), hidden: true }, icon("warning"), words);
  return {
    element,
    get empty() { return element.hidden; },
    show(message) {
      words.textContent = message.replace(/^Value error, /, "");
      element.hidden = false;
    },
    clear() { element.hidden = true; },
  };
}

/** What a control is called where there is only text. */
const called = ({ name, of }) => [of, name].filter(Boolean).join(" ");

/** What a control is called: its author's title, if there is one, and its name in the JSON. */
export function naming({ name, title, required, marked, of }) {
  const own = ownTitle(name, title);
  return [
    of && h("span", { class: "visually-hidden" }, `${of} `),
    own && `${own} `,
    h("code", { class: own && "faint" }, name),
    marked && !required && h("span", { class: "optional" }, " optional"),
  ];
}

/**
 * A label, `input`, hints and a place for what is wrong. `read` may throw an Error that says what is wrong. What is
 * empty is left out, and the placeholder says what counts instead.
 */
function labelled(schema, place, input, { read, fill, layout, beside = input }) {
  const wrong = slot();
  const said = [schema.description, bounds(schema)].filter(Boolean).join(" · ");
  const hint = said && h("p", { class: "hint", id: nextId() }, prose(said));
  input.id = nextId();
  input.setAttribute("aria-describedby", [hint && hint.id, wrong.element.id].filter(Boolean).join(" "));
  if (place.required) input.setAttribute("aria-required", "true");
  const clear = () => {
    wrong.clear();
    input.removeAttribute("aria-invalid");
  };
  const fail = (message) => {
    if (!wrong.empty) return;
    wrong.show(message);
    input.setAttribute("aria-invalid", "true");
  };
  input.addEventListener("input", clear);
  return {
    element: h("div", { class: ["field", layout] },
      h("label", { htmlFor: input.id }, naming(place)), beside, hint, wrong.element),
    clear,
    fill(value) {
      clear();
      fill(value);
    },
    fail: (_path, message) => fail(message),
    read() {
      try {
        return read();
      } catch {
        return undefined;
      }
    },
    check() {
      try {
        if (read() !== undefined || !place.required) return true;
        fail("This is needed.");
      } catch (error) {
        fail(error.message);
      }
      return false;
    },
  };
}

const LONG_CHARS = 500;
const INPUTS = { "date-time": "datetime-local", date: "date", time: "time", email: "email", uri: "url", password: "password" };
const two = (n) => String(n).padStart(2, "0");

/** An RFC 3339 time as `datetime-local` has it, in the reader's time zone. */
function localTime(iso) {
  const at = new Date(iso);
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${day}T${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}

export function text(schema, place) {
  const { format, maxLength = Infinity, pattern, examples, default: otherwise } = schema;
  const type = INPUTS[format];
  const long = !type && !pattern && maxLength > LONG_CHARS;
  const attrs = { autocomplete: "off", spellcheck: long, placeholder: String(examples?.[0] ?? otherwise ?? "") };
  const moment = type === "datetime-local";
  const input = long ? h("textarea", { rows: 2, ...attrs }) : h("input", { type: type ?? "text", step: moment ? 1 : null, ...attrs });
  return labelled(schema, place, input, {
    layout: long && "wide",
    fill(value) {
      input.value = value && moment ? localTime(value) : (value ?? "");
    },
    read() {
      if (input.validity.badInput) throw new Error("This is no whole date and time.");
      if (input.value === "") return undefined;
      return moment ? new Date(input.value).toISOString() : input.value;
    },
  });
}

export function number(schema, place) {
  const whole = schema.type === "integer";
  const attrs = { autocomplete: "off", class: "number", placeholder: String(schema.examples?.[0] ?? schema.default ?? "") };
  const input = h("input", { type: "text", inputMode: whole ? "numeric" : "decimal", ...attrs });
  return labelled(schema, place, input, {
    fill(value) {
      input.value = value ?? "";
    },
    read() {
      const said = input.value.trim();
      if (said === "") return undefined;
      const value = Number(said);
      if (!Number.isFinite(value) || (whole && !Number.isInteger(value))) throw new Error(`This is no ${whole ? "whole " : ""}number.`);
      return value;
    },
  });
}

/** One of some fixed values; where there is no default, "" stands for none of them. */
export function choice(schema, place) {
  const choices = schema.enum ?? (schema.kind === "flag" ? [true, false] : [schema.const]);
  const none = schema.default == null && h("option", { value: "" }, place.required ? "Choose one" : "–");
  const input = h("select", null, none, choices.map((each, n) => h("option", { value: String(n) }, String(each))));
  return labelled(schema, place, input, {
    fill(value) {
      const at = choices.indexOf(value);
      input.value = at < 0 ? "" : String(at);
    },
    read: () => (input.value === "" ? undefined : choices[Number(input.value)]),
  });
}

/** Yes or no; where it may be neither, a choice. */
export function flag(schema, place) {
  if (schema.nullable) return choice(schema, place);
  const input = h("input", { type: "checkbox" });
  return labelled(schema, place, input, {
    layout: "inline",
    fill(value) {
      input.checked = value === true;
    },
    read: () => input.checked,
  });
}

/** Whatever else JSON can say. */
export function json(schema, place) {
  const input = h("textarea", { rows: 3, class: "mono", spellcheck: false, placeholder: "JSON" });
  return labelled(schema, place, input, {
    layout: "wide",
    fill(value) {
      input.value = value == null ? "" : JSON.stringify(value, null, 2);
    },
    read() {
      if (input.value.trim() === "") return undefined;
      try {
        return JSON.parse(input.value);
      } catch (error) {
        throw new Error(`This is no JSON: ${error.message}`, { cause: error });
      }
    },
  });
}

const ACCEPTED = "image/*,video/*,audio/*";

/** A button that lets the reader choose files: a label, since its input is what takes the focus. */
export function picker(words, take, { multiple = false, describes = "" } = {}) {
  const input = h("input", { type: "file", class: "visually-hidden", accept: ACCEPTED, multiple, "aria-label": `${words} ${describes}`.trim() });
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  return h("label", { class: "button" }, input, icon("file"), h("span", { "aria-hidden": "true" }, words));
}

/** A picture, clip or sound: a file that is sent with the form, or where one is already. */
export function file(schema, place) {
  let chosen = null;
  const input = h("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "an artifact’s id, or https://…" });
  const preview = h("div", { class: "picked", hidden: true });
  function show(value) {
    chosen = value instanceof File ? value : null;
    input.value = chosen ? "" : (value ?? "");
    input.hidden = chosen !== null;
    preview.hidden = chosen === null;
    preview.replaceChildren(...(chosen ? [...small(chosen), leave] : []));
  }
  function take([first]) {
    if (first) change(first);
  }
  function change(value) {
    show(value);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const leave = h("button", { type: "button", class: "quiet square", "aria-label": `Leave the file for ${called(place)} out` }, icon("close"));
  leave.addEventListener("click", () => {
    change(null);
    input.focus();
  });
  const where = h("div", { class: "file" }, preview, input, picker("Choose a file", take, { describes: `for ${called(place)}` }));
  where.addEventListener("dragover", (event) => event.preventDefault());
  where.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  input.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    take(event.clipboardData.files);
  });
  return labelled(schema, place, input, {
    layout: "wide",
    beside: where,
    fill: show,
    read: () => chosen ?? (input.value.trim() || undefined),
  });
}

/** A chosen file in little. */
function small(chosen) {
  const [kind] = chosen.type.split("/");
  const seen = kind === "image" || kind === "video";
  const url = seen ? URL.createObjectURL(chosen) : "";
  const picture = seen ? media({ kind, mime: chosen.type, url }, { thumb: true }) : icon(kind);
  picture.addEventListener(kind === "image" ? "load" : "loadeddata", () => URL.revokeObjectURL(url));
  return [picture, h("span", { class: "cut" }, chosen.name), h("span", { class: "faint" }, bytes(chosen.size))];
}
