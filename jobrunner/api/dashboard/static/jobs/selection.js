// Which jobs of a list are picked, and the bar that says what can be done to them.

import { h, icon } from "../parts.js";
import { VERBS, fitting, toAll, toEach } from "./verbs.js";
import { jobs as said } from "./words.js";

/** `changed()` is called when rows are picked or dropped, `acted()` once something was done to them. */
export class Selection {
  constructor({ filters, changed, acted, signal }) {
    Object.assign(this, { filters, changed, acted, signal, ids: new Set(), everything: false, last: null });
    this.all = h("input", { type: "checkbox", "aria-label": "Select all that are listed", on: { click: () => this.pickAll(this.all.checked) } });
    this.words = h("strong", { role: "status" });
    this.widen = h("button", { class: "quiet", on: { click: () => this.pickEverything() } }, "Select all that fit the filter");
    this.buttons = Object.fromEntries(Object.keys(VERBS).map((name) => [name, this.button(name)]));
    const leave = h("button", { class: "quiet square", "aria-label": "Select none", on: { click: () => this.none() } }, icon("close"));
    this.node = h("div", { class: "jobs-picked", hidden: true, role: "group", "aria-label": "Selected jobs" },
      this.words, this.widen, h("span", { class: "toolbar" }, Object.values(this.buttons)), leave);
  }

  use(list) {
    this.list = list;
    this.none();
  }

  get size() {
    return this.everything ? Infinity : this.ids.size;
  }

  has(id) {
    return this.everything || this.ids.has(id);
  }

  /** With the shift key held, all between the last one and this one as well. */
  pick(id, on, { shiftKey }) {
    if (this.everything) this.pickAll(true);
    const { jobs, at } = this.list;
    const [from, to] = [at.get(shiftKey && at.has(this.last) ? this.last : id), at.get(id)].sort((a, b) => a - b);
    for (const each of jobs.slice(from, to + 1)) this.ids[on ? "add" : "delete"](each.id);
    this.last = id;
    this.settle(true);
  }

  pickAll(on) {
    this.everything = false;
    this.ids = new Set(on ? this.list.jobs.map(({ id }) => id) : []);
    this.settle(true);
  }

  pickEverything() {
    this.everything = true;
    this.settle(true);
  }

  none() {
    this.last = null;
    this.pickAll(false);
  }

  /** The list, or what is picked of it, is now otherwise. */
  settle(tell = false) {
    const { jobs, at } = this.list;
    for (const id of this.ids) if (!at.has(id)) this.ids.delete(id);
    this.all.checked = this.size > 0 && this.size >= jobs.length;
    this.all.indeterminate = this.size > 0 && this.size < jobs.length;
    this.node.hidden = this.size === 0;
    this.widen.hidden = this.everything;
    if (!this.busy) this.words.textContent = this.everything ? "All that fit" : `${said(this.ids.size)} selected`;
    if (!this.node.hidden) for (const name of Object.keys(VERBS)) this.offer(name);
    if (tell) this.changed();
  }

  get picked() {
    return this.list.jobs.filter(({ id }) => this.ids.has(id));
  }

  offer(name) {
    const { verb, states } = VERBS[name];
    const asked = this.filters.address.status?.split(",") ?? states;
    const some = this.everything ? asked.some((state) => states.includes(state)) : fitting(name, this.picked).length;
    this.buttons[name].disabled = !some || Boolean(this.busy);
    this.buttons[name].textContent = typeof some === "number" && some ? `${verb} ${some.toLocaleString()}` : verb;
  }

  button(name) {
    return h("button", { class: VERBS[name].danger ? "danger" : null, on: { click: () => this.act(name) } });
  }

  async act(name) {
    const progress = (n) => { this.words.textContent = `${said(n)} so far …`; };
    this.busy = true;
    try {
      const { query, words } = this.filters;
      const done = this.everything
        ? await toAll(name, { query, words, progress, signal: this.signal })
        : await toEach(name, fitting(name, this.picked));
      if (done && !this.signal.aborted) this.acted();
    } finally {
      this.busy = false;
      this.settle();
    }
  }
}
