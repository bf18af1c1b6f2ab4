// One job: how it stands, why, what it made, what it did, and what can be done to it.

import { get, session, stream } from "../api.js";
import { copied, readable } from "../job/json.js";
import { Log } from "../job/log.js";
import { remedyFor } from "../job/remedies.js";
import { costOf, timeline } from "../job/timeline.js";
import { buttons } from "../job/verbs.js";
import { Webhooks } from "../job/webhooks.js";
import { stateIn, tookWords } from "../jobs/row.js";
import { badge, bar, bytes, h, icon, media, money, say, seconds, when } from "../parts.js";

export const title = "Job";

const REREAD_S = 5;

export async function show(main, { path: [id], signal }) {
  const job = await get(`/v1/jobs/${id}`, null, { signal });
  document.title = `${job.task} · jobrunner`;
  const page = new Page(main, job, signal);
  page.follow();
  await Promise.all([page.log.hint(), page.webhooks.read()]);
}

class Page {
  constructor(main, job, signal) {
    Object.assign(this, { job, signal, drawn: {}, parts: {}, ticks: 0 });
    this.log = new Log(job.id, signal);
    this.webhooks = new Webhooks(job.id, signal);
    this.bar = bar(null);
    this.preview = h("img", { class: "media", alt: "Preview of what is being made", hidden: true, on: {
      load: () => { this.preview.hidden = this.job.status !== "in_progress"; },
      error: () => { this.preview.hidden = true; }, // it has ended, which the stream is about to say
    } });
    const part = (name) => (this.parts[name] = h("div", { class: "job-part" }));
    main.classList.add("job-page");
    main.append(
      part("head"), part("facts"), part("notes"), part("live"), part("artifacts"),
      h("div", { class: "job-columns" },
        h("div", { class: "job-column" }, part("timeline"), this.log.node, this.webhooks.node),
        h("div", { class: "job-column" }, part("params"), part("result"), part("metadata"))));
    this.parts.live.append(this.bar, this.preview);
    this.draw();
    const ticking = setInterval(() => this.tick(), 1000);
    signal.addEventListener("abort", () => clearInterval(ticking));
  }

  /** The stream begins with the job as it stands, and ends with it. After a retry it is followed anew. */
  async follow() {
    await stream(`/v1/jobs/${this.job.id}/events`, null, {
      snapshot: (job) => this.take(job),
      status: (said) => (said.steps ? this.take(said) : this.moved(said)),
      progress: ({ attempt, progress, progress_note }) => this.take({ ...this.job, attempt, progress, progress_note }),
      step: ({ attempt, step }) => this.take({ ...this.job, attempt, steps: withStep(this.job.steps, step) }),
      preview: (_, { id }) => this.pictured(id),
      log: () => this.log.hint(),
      failed: (error) => say(`This page is not kept up to date: ${error.detail}`, "warning"),
    }, { signal: this.signal });
    if (this.signal.aborted) return;
    this.log.hint();
    this.webhooks.read();
  }

  /** It moved on, but has not ended: what else that changed is on the row. */
  moved({ status, attempt }) {
    this.take({ ...this.job, status, attempt });
    return this.reread();
  }

  async reread() {
    try {
      const job = await get(`/v1/jobs/${this.job.id}`, null, { signal: this.signal });
      if (job.attempt >= this.job.attempt) this.take(job);
    } catch (error) {
      if (!this.signal.aborted && !error.title) throw error; // the stream says when the server is away
    }
  }

  pictured(version) {
    if (this.job.status !== "in_progress") return;
    this.preview.src = `/v1/jobs/${this.job.id}/preview?version=${encodeURIComponent(version)}`;
  }

  take(job) {
    this.job = job;
    this.draw();
  }

  acted(job) {
    const over = this.job.completed_at;
    this.take(job);
    if (over) this.follow();
  }

  /** What changed is drawn; the rest stays as it is, folds and places included. */
  draw() {
    const { job } = this;
    const running = job.status === "in_progress";
    if (!running) this.preview.hidden = true;
    this.bar.update(job.progress, job.progress_note);
    this.bar.hidden = job.progress == null && !job.progress_note;
    this.parts.live.hidden = !running;
    this.part("head", [job.status, job.error, job.cancel_requested, job.steps], () => head(job, this.verbs()));
    this.part("facts", [job.status, job.attempt, job.failures, job.steps, job.started_at, job.completed_at, job.due_at], () => facts(job));
    this.part("notes", [job.status, job.why, job.error], () => this.notes());
    this.part("artifacts", job.artifacts, () => artifacts(job));
    this.part("timeline", [job.status, job.attempt, job.errors, job.steps, job.due_at], () =>
      h("section", null, h("h2", null, "Timeline"), h("div", { class: "sheet padded" }, timeline(job))));
    this.part("params", job.params, () => readable("Params", job.params));
    const nothing = job.completed_at ? "It returned nothing." : "Not yet.";
    this.part("result", [nothing, job.result], () => readable("Result", job.result, { nothing }));
    this.part("metadata", job.metadata, () => job.metadata && readable("Metadata", job.metadata));
  }

  part(name, of, draw) {
    const said = JSON.stringify(of);
    if (this.drawn[name] === said) return;
    this.drawn[name] = said;
    this.parts[name].replaceChildren(...[draw()].flat().filter(Boolean));
  }

  tick() {
    this.ticks += 1;
    if (this.job.status === "pending" && this.ticks % REREAD_S === 0 && !document.hidden) this.reread(); // for the `why` of now
    const took = this.parts.facts.querySelector("[data-took]");
    if (took && this.job.status === "in_progress") took.textContent = tookWords(this.job);
  }

  verbs() {
    const { id, task, module } = this.job;
    const like = `#/submit/${encodeURIComponent(task)}?from=${id}`;
    return [
      session.may("submit") && module !== "webhook" && h("a", { class: "button", href: like }, icon("submit"), "Submit one like it"),
      session.may("operate") && buttons(this.job, { acted: (job) => this.acted(job), signal: this.signal }),
    ];
  }

  notes() {
    const { why, error, status } = this.job;
    return [
      why && h("div", { class: "job-note" }, icon("pending"), h("div", { class: "stack" }, h("h2", null, "Why it is not running"), h("p", null, why))),
      error && status !== "completed" && this.trouble(error),
    ];
  }

  trouble({ code, message, provider, provider_code, request_id, errors, upstream }) {
    const remedy = h("p", { class: "remedy" });
    remedyFor(code).then((found) => {
      if (found) remedy.replaceChildren(h("strong", null, "What to do: "), found.remedy);
    }, () => remedy.remove()); // the error itself is there; the strip above the page says that the server is away
    const facts = { provider, "its code": provider_code, request: request_id, ...upstream };
    return h("div", { class: ["job-note", this.job.status === "failed" && "bad-note"] },
      icon(this.job.status === "failed" ? "failed" : "warning"),
      h("div", { class: "stack" },
        h("h2", null, this.job.status === "failed" ? "It failed: " : "Its last attempt ended: ", h("code", null, code)),
        h("p", null, message),
        errors && h("ul", null, errors.map((each) => h("li", null, h("code", null, each.path), ` ${each.message}`))),
        remedy,
        h("p", { class: "faint small toolbar" }, Object.entries(facts).filter(([, value]) => value).map(([name, value]) =>
          h("span", null, `${name} `, h("code", null, value))))));
  }
}

function withStep(steps, step) {
  const known = steps.find(({ name }) => name === step.name);
  const told = { ...step, created_at: step.created_at ?? known?.created_at ?? null };
  return known ? steps.map((each) => (each === known ? told : each)) : [...steps, told];
}

function head(job, verbs) {
  const same = `#/jobs?task=${encodeURIComponent(job.task)}`;
  return h("div", { class: "page-head" },
    h("div", { class: "stack" },
      h("nav", { class: "small", "aria-label": "Where this is" }, h("a", { href: "#/jobs" }, "Jobs"), " / ", h("a", { href: same }, job.task)),
      h("div", { class: "toolbar" }, h("h1", null, job.task), badge(job.status, stateIn(job))),
      h("p", { class: "job-id" }, h("code", null, job.id),
        h("button", { class: "quiet square", "aria-label": "Copy the id", on: { click: () => copied(job.id) } }, icon("copy")))),
    h("div", { class: "toolbar job-verbs" }, verbs));
}

function facts(job) {
  const cost = costOf(job.steps);
  const running = job.status === "in_progress";
  const listed = {
    [running ? "Runs for" : "Took"]: h("span", { dataset: { took: "" } }, tookWords(job) || "–"),
    Cost: cost ? money(cost) : "–",
    Attempts: `${job.attempt}, ${job.failures} of ${job.retries + 1} failed${job.crashes ? `, ${job.crashes} crashed` : ""}`,
    User: job.user_id && h("a", { href: `#/jobs?user_id=${encodeURIComponent(job.user_id)}` }, job.user_id),
    Record: job.record_id && h("a", { href: `#/jobs?record_id=${encodeURIComponent(job.record_id)}` }, job.record_id),
    Created: when(job.created_at),
    ...(job.completed_at ? { Ended: when(job.completed_at) } : running ? { Started: when(job.started_at) } : { Due: when(job.due_at) }),
  };
  const shown = Object.entries(listed).filter(([, value]) => value);
  return h("dl", { class: "job-facts sheet" }, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function artifacts({ artifacts: files }) {
  if (!files.length) return null;
  return h("section", null, h("h2", null, files.length === 1 ? "What it made" : `What it made: ${files.length} files`),
    h("div", { class: "job-artifacts" }, files.map((file) => h("figure", { class: "sheet" }, media(file),
      h("figcaption", null,
        h("span", null, sizesOf(file)),
        h("a", { href: file.url, target: "_blank", rel: "noopener" }, "Open"))))));
}

function sizesOf({ mime, width, height, duration_s, size_bytes }) {
  return [mime, width && `${width} × ${height}`, duration_s && seconds(duration_s), bytes(size_bytes)].filter(Boolean).join(" · ");
}
