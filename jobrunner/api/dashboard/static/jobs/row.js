// One job as a row of the list.

import { now } from "../clock.js";
import { badge, bar, h, icon, media, seconds, when } from "../parts.js";
import { tail } from "./words.js";

const RUNS = "in_progress";
const DRAWINGS = { image: "image", video: "video", lipsync: "video", merge: "video", audio: "audio", webhook: "submit" };

/** `picked(id, on, event)` is called when the reader selects it; without one, rows cannot be selected. */
export class Row {
  constructor(job, { picked } = {}) {
    this.job = {};
    this.thumb = h("td", { class: "job-thumb" });
    this.excerpt = h("span", { class: "cut faint" });
    this.link = h("a", { class: "job-task cut", href: `#/jobs/${job.id}`, dataset: { row: "" } }, job.task);
    this.state = h("span");
    this.said = h("span", { class: "job-said" });
    this.bar = bar(null);
    this.took = h("td", { class: "num job-took" });
    this.check = picked && h("input", {
      type: "checkbox",
      "aria-label": `Select ${job.task} ${tail(job.id)}`,
      on: { click: (event) => picked(job.id, this.check.checked, event) },
    });
    this.node = h("tr", { class: "job" },
      picked && h("td", { class: "job-check" }, h("label", null, this.check)),
      this.thumb,
      h("th", { scope: "row", class: "job-name" }, this.link, this.excerpt),
      h("td", { class: "job-state" }, this.state, this.said),
      h("td", { class: "cut job-user", title: job.user_id ?? "" }, job.user_id ?? h("span", { class: "faint" }, "–")),
      this.took,
      h("td", { class: "num job-when" }, when(job.created_at)));
    this.update(job);
  }

  select(on) {
    if (!this.check) return;
    this.check.checked = on;
    this.node.classList.toggle("job-selected", on);
  }

  update(job) {
    const before = this.job;
    this.job = job;
    this.excerpt.textContent = [job.record_id, excerpt(job.params)].filter(Boolean).join(" · ") || tail(job.id);
    if (["status", "attempt", "cancel_requested"].some((name) => before[name] !== job[name])) {
      const again = job.attempt > 1 && h("span", { class: "faint small" }, ` attempt ${job.attempt}`);
      this.state.replaceChildren(...[badge(job.status, stateIn(job)), again].filter(Boolean));
    }
    this.says(job);
    this.shows(thumbOf(job));
    this.tick();
  }

  /** A preview that follows another takes its place once it is there: nothing flickers. */
  shows({ url, preview, node }) {
    const before = this.thumb.firstChild;
    if (this.pictured === url) return;
    this.pictured = url;
    if (preview && before?.dataset.preview !== undefined) before.src = url;
    else this.thumb.replaceChildren(node());
  }

  says(job) {
    const { status, error } = job;
    if (status === RUNS && (job.progress != null || job.progress_note)) {
      this.bar.update(job.progress, job.progress_note);
      if (this.said.firstChild !== this.bar) this.said.replaceChildren(this.bar);
      return;
    }
    const later = status === "pending" && Date.parse(job.due_at) > now();
    const words = [
      later && h("span", null, "due ", when(job.due_at)),
      error && status !== "completed" && h("span", { title: error.message }, h("code", null, error.code), ` ${error.message}`),
    ].filter(Boolean);
    this.said.replaceChildren(...words.flatMap((word, at) => (at ? [" · ", word] : [word])));
  }

  /** Once a second: what is running takes longer. */
  tick() {
    const words = tookWords(this.job);
    if (this.took.textContent !== words) this.took.textContent = words;
  }
}

/** The state in words, where the state alone does not say all. */
export const stateIn = (job) => (job.cancel_requested && job.status === RUNS ? "being cancelled" : undefined);

export function tookWords({ status, started_at, completed_at }) {
  if (!started_at || status === "pending") return "";
  return seconds(Math.max(0, (completed_at ? Date.parse(completed_at) : now()) - Date.parse(started_at)) / 1000);
}

/** The longest of the params that are sentences: what a person knows the job by. */
function excerpt(params) {
  const texts = Object.values(params).filter((value) => typeof value === "string" && /\s/.test(value));
  return texts.reduce((longest, text) => (text.length > longest.length ? text : longest), "").slice(0, 300);
}

/** What shows the job: what came of it, or how far it is. */
function thumbOf({ id, module, status, artifacts, result_url, preview }) {
  const made = artifacts.find(({ url, kind }) => url === result_url && kind !== "audio") ?? artifacts[0];
  if (made) return { url: made.url, node: () => media(made, { thumb: true }) };
  if (preview && status === RUNS) {
    const url = `/v1/jobs/${id}/preview?version=${preview}`;
    const node = () => h("img", { class: "media", alt: "Preview", dataset: { preview: "" }, src: url });
    return { url, preview: true, node };
  }
  return { url: "", node: () => h("span", { class: "job-blank" }, icon(DRAWINGS[module] ?? "jobs")) };
}
