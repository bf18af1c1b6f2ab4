// Which jobs are listed: the controls, the address that keeps them, the query that asks for them, and the words for it.

import { session } from "../api.js";
import { now } from "../clock.js";
import { h, icon, spaced } from "../parts.js";

export const STATES = ["pending", "in_progress", "completed", "failed", "cancelled"];
const SPANS = { "15m": ["last 15 minutes", 15], "1h": ["last hour", 60], "24h": ["last 24 hours", 1440], "7d": ["last 7 days", 10_080] };
const BETWEEN = "between";
const TYPING_MS = 250;
const TEXTS = ["text", "user_id", "record_id", "metadata"];

/**
 * `asked`: the address's query, which has the API's names and `since`. `tasks`: a promise of GET /v1/tasks. `changed()`
 * is called after each change, once the reader has paused.
 */
export class Filters {
  constructor(asked, { tasks, changed }) {
    this.changed = changed;
    this.asked = { ...asked };
    this.states = new Set(asked.status?.split(",").filter((state) => STATES.includes(state)));
    this.inputs = Object.fromEntries(TEXTS.map((name) => [name, this.input(name)]));
    this.task = this.select(taskOptions([], asked), asked.task ? `task=${asked.task}` : asked.module ? `module=${asked.module}` : "");
    const spans = Object.entries(SPANS).map(([span, [words]]) => h("option", { value: span }, words));
    const since = asked.created_after || asked.created_before ? BETWEEN : asked.since;
    this.since = this.select([h("option", { value: "" }, "any time"), spans, h("option", { value: BETWEEN }, "between …")], since ?? "");
    this.from = this.moment(asked.created_after);
    this.until = this.moment(asked.created_before);
    this.chips = STATES.map((state) => this.chip(state));
    this.clear = h("button", { class: "quiet", type: "button", on: { click: () => { location.hash = "#/jobs"; } } }, icon("close"), "Clear filters");
    this.node = this.drawn();
    this.settle();
    tasks.then(({ data }) => this.offer(data), () => {}); // whoever lacks the list of tasks can still search
  }

  /** What the address says, in the API's names; empty where there is no filter. */
  get address() {
    const [by, name] = this.task.value.split(/=(.*)/s);
    const between = this.since.value === BETWEEN;
    const all = {
      status: STATES.filter((state) => this.states.has(state)).join(","),
      ...(by && { [by]: name }),
      ...Object.fromEntries(TEXTS.map((field) => [field, this.inputs[field].value.trim()])),
      since: between ? "" : this.since.value,
      created_after: between ? iso(this.from.value) : "",
      created_before: between ? iso(this.until.value) : "",
    };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value));
  }

  /** The query of GET /v1/jobs. */
  get query() {
    const { since, metadata, ...rest } = this.address;
    const minutes = SPANS[since]?.[1];
    return {
      ...rest,
      ...(minutes && { created_after: new Date(now() - minutes * 60_000).toISOString() }),
      ...(metadata && { metadata: metadataIn(metadata) }),
    };
  }

  /** What is asked for beside the states, a phrase each. */
  get words() {
    const { status: _, since, created_after, created_before, text, ...rest } = this.address;
    return [
      ...Object.entries(rest).map(([name, value]) => `${name.replace("_id", "")} ${value}`),
      text && `words “${text}”`,
      since && `created in the ${SPANS[since][0]}`,
      created_after && `created after ${new Date(created_after).toLocaleString()}`,
      created_before && `created before ${new Date(created_before).toLocaleString()}`,
    ].filter(Boolean);
  }

  offer(tasks) {
    const { value } = this.task;
    this.task.replaceChildren(...taskOptions(tasks, this.asked));
    this.task.value = value;
  }

  input(name) {
    const typed = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.settle(true), TYPING_MS);
    };
    const type = name === "text" ? "search" : "text";
    const value = this.asked[name] ?? "";
    return h("input", { id: `by-${name}`, type, value, autocomplete: "off", spellcheck: false, on: { input: typed } });
  }

  select(options, value) {
    const node = h("select", { on: { change: () => this.settle(true) } }, options);
    node.value = value;
    if (node.selectedIndex < 0) node.value = "";
    return node;
  }

  moment(value) {
    const at = Date.parse(value);
    const local = Number.isFinite(at) ? new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "";
    return h("input", { type: "datetime-local", value: local, on: { change: () => this.settle(true) } });
  }

  chip(state) {
    const press = () => {
      if (!this.states.delete(state)) this.states.add(state);
      this.settle(true);
    };
    return h("button", { class: "chip", type: "button", dataset: { state }, on: { click: press } }, icon(state), spaced(state));
  }

  settle(tell = false) {
    for (const chip of this.chips) chip.setAttribute("aria-pressed", this.states.has(chip.dataset.state));
    for (const field of this.between) field.hidden = this.since.value !== BETWEEN;
    this.clear.hidden = !Object.keys(this.address).length;
    if (tell) this.changed();
  }

  drawn() {
    const { text, user_id, record_id, metadata } = this.inputs;
    Object.assign(text, { placeholder: "Words in params and errors, a record, an id" });
    text.dataset.search = "";
    metadata.placeholder = "order=7 or JSON";
    this.between = [field("From", this.from), field("Until", this.until)];
    const rare = [field("Record", record_id), field("Metadata", metadata)];
    if (!session.userId) rare.unshift(field("User", user_id));
    const more = h("details", { class: "filters-more", open: matchMedia("(min-width: 48rem)").matches || rareIn(this.asked) },
      h("summary", null, "More filters"),
      h("div", { class: "filters-fields" }, field("Task", this.task), field("Created", this.since), this.between, rare));
    return h("search", { class: "filters" },
      h("div", { class: "filters-text" }, icon("search"), h("label", { class: "visually-hidden", htmlFor: text.id }, "Search"), text),
      h("div", { class: "toolbar", role: "group", "aria-label": "States" }, this.chips, this.clear),
      more);
  }
}

let made = 0;

function field(label, control) {
  control.id ||= `filter-${++made}`;
  return h("div", { class: "field" }, h("label", { htmlFor: control.id }, label), control);
}

const rareIn = (asked) => Object.keys(asked).some((name) => !["status", "text"].includes(name));
const iso = (local) => (local ? new Date(local).toISOString() : "");

function taskOptions(tasks, { task, module }) {
  const modules = Map.groupBy(tasks, (each) => each.module);
  if (module && !modules.has(module)) modules.set(module, []);
  const groups = [...modules].sort().map(([name, members]) =>
    h("optgroup", { label: name },
      h("option", { value: `module=${name}` }, `all of ${name}`),
      members.map((each) => h("option", { value: `task=${each.name}` }, each.name))));
  const foreign = task && !tasks.some(({ name }) => name === task) && h("option", { value: `task=${task}` }, task);
  return [h("option", { value: "" }, "all tasks"), ...(foreign ? [foreign] : []), ...groups];
}

/** `order=7 paid=true note="a b"` as the JSON that it means; JSON as it is. Numbers in quotes are text. */
function metadataIn(typed) {
  if (typed.startsWith("{")) return typed;
  const pairs = [...typed.matchAll(/([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g)].map(([, name, value]) => [name, valueIn(value)]);
  return pairs.length ? JSON.stringify(Object.fromEntries(pairs)) : typed;
}

function valueIn(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
