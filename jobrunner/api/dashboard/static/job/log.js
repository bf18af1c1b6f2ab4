// What a job's task said, line by line, and what it goes on to say.

import { get, pause } from "../api.js";
import { h, icon, problem, spaced } from "../parts.js";

const PAGE = 1000;
const SOON_MS = 400;
const AT_END_PX = 40;
const LEVELS = ["debug", "info", "warning", "error"];
const _clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** `hint()`: more was said. The stream of events only says so; the lines themselves are read, whole and in order. */
export class Log {
  constructor(id, signal) {
    Object.assign(this, { id, signal, cursor: null, reading: null, again: false, attempt: null });
    this.lines = h("ol", { class: "log-lines" });
    this.least = h("select", { "aria-label": "Least level", on: { change: () => { this.view.dataset.least = this.least.value; } } },
      LEVELS.map((level) => h("option", { value: level }, level === "debug" ? "all levels" : `${level} and above`)));
    this.view = h("div", { class: "sheet log", tabIndex: 0, role: "log", "aria-label": "Log", dataset: { least: "debug" } }, this.lines);
    this.wrong = h("div");
    this.node = h("section", { hidden: true }, h("div", { class: "section-head" }, h("h2", null, "Log"), this.least), this.wrong, this.view);
  }

  hint() {
    this.again = true;
    this.reading ??= this.read().finally(() => { this.reading = null; });
    return this.reading;
  }

  async read() {
    while (this.again && !this.signal.aborted) {
      this.again = false;
      try {
        const page = await get(`/v1/jobs/${this.id}/logs`, { cursor: this.cursor, limit: PAGE }, { signal: this.signal });
        this.cursor = page.next_cursor;
        this.again ||= page.has_more;
        this.add(page.data);
        this.wrong.replaceChildren();
      } catch (error) {
        if (this.signal.aborted) return;
        this.node.hidden = false;
        this.wrong.replaceChildren(problem(error, { again: () => this.hint() }));
      }
      await pause(SOON_MS, this.signal);
    }
  }

  add(lines) {
    if (!lines.length) return;
    this.node.hidden = false;
    const { view } = this;
    const follows = view.scrollHeight - view.scrollTop - view.clientHeight < AT_END_PX;
    this.lines.append(...lines.flatMap((line) => this.drawn(line)));
    while (this.lines.children.length > 2 * PAGE) this.lines.firstChild.remove();
    if (follows) view.scrollTop = view.scrollHeight;
  }

  drawn({ at, attempt, level, message, fields }) {
    const head = attempt !== this.attempt && h("li", { class: "log-attempt" }, `Attempt ${attempt}`);
    this.attempt = attempt;
    const said = Object.entries(fields ?? {}).map(([name, value]) =>
      h("span", { class: "log-field" }, `${name}=`, h("span", { class: "json-bare" }, typeof value === "string" ? value : JSON.stringify(value))));
    const grave = level === "warning" || level === "error";
    return [head, h("li", { dataset: { level } },
      h("time", { dateTime: at, title: at }, _clock.format(Date.parse(at))),
      h("span", { class: "log-level" }, grave && icon(level === "error" ? "failed" : "warning"), spaced(level)),
      h("span", { class: "log-words" }, message, said))].filter(Boolean);
  }
}
