// A table of thousands of rows, all of one height, of which only those are in the page that can be seen.

import { h } from "../parts.js";

const SPARE = 12;
const SOON = 60;

const spacer = () => h("tr", { class: "spacer", "aria-hidden": "true" });

/**
 * `draw(job)` makes a row ({node, job, update(job), tick()}); jobs have an `id`. `more()` is called
 * when the reader comes close to the end of what there is.
 */
export class Rows {
  constructor(body, { draw, more, signal }) {
    Object.assign(this, { body, draw, more, jobs: [], drawn: new Map(), height: 52, due: 0 });
    this.above = spacer();
    this.below = spacer();
    body.append(this.above, this.below);
    for (const event of ["scroll", "resize"]) window.addEventListener(event, () => this.soon(), { passive: true, signal });
    signal.addEventListener("abort", () => cancelAnimationFrame(this.due));
  }

  show(jobs) {
    this.jobs = jobs;
    this.soon();
  }

  /** Draw before the next frame, however often it is asked for. */
  soon() {
    this.due ||= requestAnimationFrame(() => {
      this.due = 0;
      this.place();
    });
  }

  /** Of those that can be seen, or nearly. */
  ids() {
    return this.drawn.keys();
  }

  tick() {
    for (const row of this.drawn.values()) row.tick();
  }

  place() {
    const { jobs, height, body } = this;
    const top = -body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(Math.floor(top / height) - SPARE, jobs.length - SPARE));
    const last = Math.max(first, Math.min(jobs.length, Math.ceil((top + innerHeight) / height) + SPARE));
    const wanted = jobs.slice(first, last);
    this.drop(new Set(wanted.map(({ id }) => id)));
    let at = this.above;
    for (const [n, job] of wanted.entries()) {
      const row = this.row(job);
      row.node.setAttribute("aria-rowindex", first + n + 2); // the head is the first
      if (at.nextSibling !== row.node) at.after(row.node);
      at = row.node;
    }
    this.above.style.setProperty("--height", `${first * height}px`);
    this.below.style.setProperty("--height", `${(jobs.length - last) * height}px`);
    if (wanted.length && this.measured()) this.soon();
    if (last + SOON > jobs.length) this.more();
  }

  drop(wanted) {
    for (const [id, row] of this.drawn) {
      if (wanted.has(id)) continue;
      row.node.remove();
      this.drawn.delete(id);
    }
  }

  row(job) {
    let row = this.drawn.get(job.id);
    if (!row) this.drawn.set(job.id, (row = this.draw(job)));
    else if (row.job !== job) row.update(job);
    return row;
  }

  /** Whether rows turned out to be of another height than we thought: the reader's letters, or a narrow window. */
  measured() {
    const height = this.above.nextSibling.getBoundingClientRect().height;
    if (!height || Math.abs(height - this.height) < 0.5) return false;
    this.height = height;
    return true;
  }
}
