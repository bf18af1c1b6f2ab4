// All jobs: searched, filtered, live, and changed many at a time.

import { get, session } from "../api.js";
import { Filters } from "../jobs/filters.js";
import { FIRST, List } from "../jobs/list.js";
import { live } from "../jobs/live.js";
import { Row } from "../jobs/row.js";
import { Rows } from "../jobs/rows.js";
import { Selection } from "../jobs/selection.js";
import { empty, h, icon, problem } from "../parts.js";
import { jobs as said } from "../jobs/words.js";

export const title = "Jobs";

const CALM_PX = 80;
const COLUMNS = () => [
  [h("span", { class: "visually-hidden" }, "Picture"), "job-thumb"],
  ["Job", "job-name"],
  ["State", "job-state"],
  ["User", "job-user"],
  ["Took", "num job-took"],
  ["Created", "num job-when"],
];

let kept = null;

/** The list as it was left, for the reader who comes back to it from one of its jobs. */
const comesBack = (address) => kept?.caller === session.caller && kept.address === address;

export async function show(main, { query, signal }) {
  const tasks = get("/v1/tasks", null, { signal });
  await new Page(main, tasks, query, signal).open();
}

class Page {
  constructor(main, tasks, query, signal) {
    this.signal = signal;
    this.filters = new Filters(query, { tasks, changed: () => this.open() });
    this.count = h("p", { class: "faint", role: "status" });
    this.newer = h("button", { class: "primary jobs-newer", hidden: true, on: { click: () => this.leap() } });
    this.place = h("div");
    this.selection = new Selection({ filters: this.filters, changed: () => this.drawSelection(), acted: () => this.open(), signal });
    main.append(
      h("div", { class: "page-head" }, h("h1", null, title), this.count),
      this.filters.node, this.place, this.selection.node);
    signal.addEventListener("abort", () => this.keep());
  }

  /** Show what the filters say now: a new list, and a new stream of what happens to it. */
  async open() {
    this.closing?.abort();
    this.closing = new AbortController();
    const signal = AbortSignal.any([this.signal, this.closing.signal]);
    const address = new URLSearchParams(this.filters.address).toString();
    history.replaceState(null, "", address ? `#/jobs?${address}` : "#/jobs");
    const list = new List(this.filters.query, { changed: () => this.draw(list), signal });
    this.selection.use(list);
    this.place.ariaBusy = "true";
    try {
      if (comesBack(address)) list.restore(kept);
      else await list.read();
      if (signal.aborted) return;
      Object.assign(this, { list, address });
      this.lay(signal);
      if (comesBack(address)) {
        this.rows.place();
        window.scrollTo(0, kept.scrollY);
        list.doubt();
        await list.look();
        this.arrived();
      }
      kept = null;
      live(list, { arrived: () => this.arrived(), seen: () => this.rows.ids(), signal });
    } catch (error) {
      if (!signal.aborted) this.place.replaceChildren(problem(error, { again: () => this.open() }));
    } finally {
      if (!signal.aborted) this.place.ariaBusy = null;
    }
  }

  lay(signal) {
    const body = h("tbody");
    const picked = session.may("operate") && ((...how) => this.selection.pick(...how));
    this.rows = new Rows(body, {
      draw: (job) => this.drawn(job, picked),
      more: () => this.more(),
      signal,
    });
    const all = picked && h("th", { scope: "col", class: "job-check" }, this.selection.all);
    const head = h("tr", null, all, COLUMNS().map(([name, column]) => h("th", { scope: "col", class: column }, name)));
    this.table = h("table", { class: "jobs" }, h("caption", { class: "visually-hidden" }, "Jobs, newest first"), h("thead", null, head), body);
    this.newer.hidden = true;
    this.none = empty(this.address ? "No job fits. Clear the filters to see all." : "There are no jobs yet.");
    this.place.replaceChildren(this.newer, h("div", { class: "sheet" }, this.table, this.none));
    const ticking = setInterval(() => this.rows.tick(), 1000);
    signal.addEventListener("abort", () => clearInterval(ticking));
    this.redraw();
  }

  drawn(job, picked) {
    const row = new Row(job, { picked });
    row.select(this.selection.has(job.id));
    return row;
  }

  /** Before the next frame, however much happens until then. */
  draw(list) {
    if (list !== this.list) return;
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      if (!this.signal.aborted) this.redraw();
    });
  }

  redraw() {
    const { list } = this;
    const { length } = list.jobs;
    const counted = `${said(length)}${list.hasMore ? " so far; more as you scroll" : ""}`;
    if (this.count.textContent !== counted) this.count.textContent = counted;
    this.none.hidden = length > 0;
    this.table.hidden = length === 0;
    this.table.setAttribute("aria-rowcount", list.hasMore ? -1 : length + 1);
    this.rows.show(list.jobs);
    this.selection.settle();
  }

  async more() {
    try {
      await this.list.more();
    } catch (error) {
      if (!this.signal.aborted) this.place.append(problem(error, { again: () => this.open() }));
    }
  }

  /** New jobs were read: in they go, unless the reader is busy with what stands there. */
  arrived() {
    const calm = window.scrollY < CALM_PX && !this.selection.size && !this.table.matches(":hover, :focus-within");
    const { newer } = this.list;
    if (calm) return this.take();
    if (!newer) return;
    this.newer.replaceChildren(icon("in_progress"), `${newer}${newer === FIRST ? "+" : ""} new`);
    this.newer.hidden = false;
  }

  take() {
    this.newer.hidden = true;
    this.list.take();
  }

  /** To the newest, as they are by now. */
  async leap() {
    window.scrollTo(0, 0);
    try {
      await this.list.look();
    } catch (error) {
      if (!error.title) throw error; // what was read before is shown, and the strip above says that the server is away
    }
    this.take();
  }

  drawSelection() {
    for (const row of this.rows?.drawn.values() ?? []) row.select(this.selection.has(row.job.id));
  }

  keep() {
    if (this.list) kept = { ...this.list.keep(), address: this.address, caller: session.caller, scrollY: window.scrollY };
  }
}
