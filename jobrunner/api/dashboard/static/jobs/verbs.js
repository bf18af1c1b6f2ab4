// What is done to many jobs at once: to those that were picked, or to all that fit a filter.

import { ApiError, post } from "../api.js";
import { now } from "../clock.js";
import { confirmed, h, say, spaced } from "../parts.js";
import { jobs as said } from "./words.js";

const AT_ONCE = 6;
const UNKNOWN = "submit_outcome_unknown";

/** The states that a verb applies to, and its words. */
export const VERBS = {
  cancel: { states: ["pending", "in_progress"], verb: "Cancel", done: "cancelled or asked to end", danger: true },
  retry: { states: ["failed", "cancelled"], verb: "Retry", done: "will run again", danger: false },
};

/** Of `jobs` those that the verb applies to. A purchase whose outcome is unknown is decided job by job. */
export const fitting = (name, jobs) =>
  jobs.filter(({ status, error }) => VERBS[name].states.includes(status) && !(name === "retry" && error?.code === UNKNOWN));

/** Ask, then do it to each of `jobs`; answers whether it was done. */
export async function toEach(name, jobs) {
  const { verb, done, danger } = VERBS[name];
  const left = jobs.length;
  if (!(await confirmed({ title: `${verb} ${said(left)}?`, text: consequence(name), verb: `${verb} ${said(left)}`, danger }))) return false;
  const waiting = [...jobs];
  const refused = [];
  const work = async () => {
    for (let job = waiting.pop(); job; job = waiting.pop()) {
      try {
        await post(`/v1/jobs/${job.id}/${name}`);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        refused.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  tell(left - refused.length, done, refused[0]?.detail);
  return true;
}

/**
 * Ask, then do it to all that fit `query` (of GET /v1/jobs) and are there now; `words` say which. `progress(n)` hears
 * how many it was done to so far.
 */
export async function toAll(name, { query, words, progress, signal }) {
  const { states, verb, done, danger } = VERBS[name];
  const asked = query.status ? query.status.split(",") : states;
  const status = asked.filter((state) => states.includes(state));
  const text = [
    h("p", null, `All jobs that are ${status.map(spaced).join(" or ")}`, words.length ? " and fit:" : ", of all tasks and users."),
    words.length > 0 && h("ul", null, words.map((word) => h("li", null, word))),
    h("p", null, consequence(name)),
    name === "retry" && h("p", { class: "bad" }, "Among them may be purchases whose outcome is unknown: those are bought again."),
  ].filter(Boolean);
  if (!(await confirmed({ title: `${verb} all that fit?`, text, verb: `${verb} all that fit`, danger }))) return false;
  const before = [query.created_before, new Date(now()).toISOString()].filter(Boolean).sort()[0];
  const wanted = { ...query, status, created_before: before, ...(query.metadata && { metadata: JSON.parse(query.metadata) }) };
  let changed = 0;
  try {
    for (let cursor = null, more = true; more;) {
      const answer = await post(`/v1/jobs:${name}`, { ...wanted, ...(cursor && { cursor }) }, { signal });
      progress((changed += answer.changed));
      [cursor, more] = [answer.next_cursor, answer.has_more];
    }
    tell(changed, done);
  } catch (error) {
    if (signal.aborted) return true;
    if (!(error instanceof ApiError)) throw error;
    tell(changed, done, error.detail);
  }
  return true;
}

const consequence = (name) =>
  name === "cancel"
    ? "Waiting jobs end at once. Running ones are asked to end, and their providers are told; what was bought already stays paid."
    : "What a job has bought already is not bought again; what it lacks is, and costs what it costs.";

function tell(n, done, trouble) {
  if (trouble) say(`${said(n)} ${done}. Not all: ${trouble}`, n ? "warning" : "error");
  else say(`${said(n)} ${done}.`, "ok");
}
