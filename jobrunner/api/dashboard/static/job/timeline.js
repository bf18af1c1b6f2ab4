// What happened to a job, in order: when it was submitted, what each attempt did and bought, how each ended.

import { badge, h, icon, money, seconds, when } from "../parts.js";
import { copied } from "./json.js";

const BY_HAND = "retried_by_hand";
const UNFOLDED = 8;
const LATEST = 4;

/** Moments in order: {at, shape, title, body, heading, attempt}. `at` null: not told. */
function moments(job) {
  const { errors, steps, attempt, status } = job;
  const found = [{ at: job.created_at, shape: "submit", title: "Submitted", body: waited(job) }];
  for (let n = 1; n <= attempt; n += 1) {
    const of = (all, drawn) => all.filter((each) => each.attempt === n).map(drawn);
    const head = { at: n === 1 ? job.started_at : null, shape: "right", title: `Attempt ${n}`, heading: true };
    const within = [head, ...of(steps, (step) => stepped(step, status)), ...of(errors, ended)];
    if (n === attempt && status === "in_progress") within.push({ at: null, shape: "in_progress", title: "Running now" });
    found.push(...within.map((each) => ({ ...each, attempt: n })));
  }
  for (const error of errors.filter((each) => !each.attempt && each.code !== BY_HAND)) found.push(ended(error));
  return [...found, ...last(job)];
}

function waited({ created_at, started_at }) {
  if (!started_at) return null;
  return `First taken up after ${seconds((Date.parse(started_at) - Date.parse(created_at)) / 1000)}`;
}

const SHAPES = { intent: "pending", running: "in_progress", done: "completed", failed: "failed" };
const WORDS = { intent: "sent, or about to be", running: "running", left: "begun", done: "done", failed: "failed" };

function stepped(step, status) {
  const { name, state, provider, model, remote_id, cost, error } = step;
  const words = [
    provider && [provider, model].filter(Boolean).join(" · "),
    cost && money({ [cost.unit]: cost.amount }),
  ].filter(Boolean);
  const left = state === "running" && status !== "in_progress"; // its provider goes on, or is done; nobody asks now
  const shape = left ? "pending" : SHAPES[state];
  return {
    at: step.created_at,
    shape,
    title: ["Step ", h("code", null, name), " ", badge(shape, WORDS[left ? "left" : state])],
    body: [
      words.length > 0 && h("span", null, words.join(" · ")),
      remote_id && request(remote_id),
      error && h("span", { class: "bad" }, h("code", null, error.code), ` ${error.message}`),
    ].filter(Boolean),
  };
}

const request = (id) =>
  h("span", { class: "request" }, "request ", h("code", null, id),
    h("button", { class: "quiet square", "aria-label": `Copy the request id ${id}`, on: { click: () => copied(id) } }, icon("copy")));

function ended(error) {
  if (error.code === BY_HAND) return { at: error.at, shape: "retry", title: "Retried by hand", body: error.message };
  return {
    at: error.at,
    shape: error.code === "cancelled" ? "cancelled" : "failed",
    title: ["Ended: ", h("code", null, error.code)],
    body: [error.message, error.request_id && request(error.request_id)].filter(Boolean),
  };
}

const ENDS = { completed: "Completed", failed: "Failed for good", cancelled: "Cancelled" };

function last({ status, completed_at, due_at, started_at, created_at }) {
  if (status === "in_progress") return [];
  if (status === "pending") return [{ at: due_at, shape: status, title: `Waits to be taken up${started_at ? " again" : ""}` }];
  const body = `${seconds((Date.parse(completed_at) - Date.parse(created_at)) / 1000)} after it was submitted`;
  return [{ at: completed_at, shape: status, title: ENDS[status], body }];
}

/** All of it; of many attempts the latest, the others folded. */
export function timeline(job) {
  const all = moments(job);
  const fold = job.attempt > UNFOLDED ? job.attempt - LATEST : 0;
  const early = all.filter(({ attempt }) => attempt <= fold);
  const late = all.slice(1).filter((each) => !early.includes(each));
  const folded = fold > 0 && h("li", { dataset: { shape: "right" } }, icon("right"),
    h("details", { class: "moment-body" }, h("summary", null, `${fold} earlier attempts`), h("ol", { class: "timeline" }, early.map(drawn))));
  return h("ol", { class: "timeline" }, drawn(all[0]), folded, late.map(drawn));
}

function drawn({ at, shape, title, body, heading }) {
  return h("li", { dataset: { shape } },
    icon(shape),
    h(heading ? "h3" : "p", { class: "moment-title" }, title),
    at && h("span", { class: "moment-at faint small" }, when(at)),
    body && h("p", { class: "moment-body" }, [body].flat().map((part) => h("span", null, part))));
}

/** What its steps cost together, as providers say; null where none says anything. */
export function costOf(steps) {
  const sums = {};
  for (const { cost } of steps) if (cost) sums[cost.unit] = (sums[cost.unit] ?? 0) + Number(cost.amount);
  return Object.keys(sums).length ? sums : null;
}
