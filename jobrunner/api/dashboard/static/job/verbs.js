// What a person does to one job. What may cost money is asked for first, with its price.

import { ApiError, post } from "../api.js";
import { confirmed, h, icon, say } from "../parts.js";
import { prices, unknownSteps } from "./price.js";

const UNKNOWN = "submit_outcome_unknown";
const EXPIRED = new Set(["timeout", "soft_timeout", "artifact_expired"]);

const act = async (job, verb, done) => {
  try {
    const changed = await post(`/v1/jobs/${job.id}/${verb}`);
    say(done(changed), "ok");
    return changed;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say(error.detail, "error");
    return null;
  }
};

export async function cancel(job) {
  const bought = job.steps.some(({ provider }) => provider);
  const text = job.status === "pending" && !bought
    ? "It has not begun, so nothing was bought."
    : "It is asked to end, and so are the providers that work for it. What was bought already stays paid.";
  if (!(await confirmed({ title: "Cancel this job?", text, verb: "Cancel the job", danger: true }))) return null;
  return act(job, "cancel", ({ status }) => (status === "cancelled" ? "Cancelled." : "Asked to end; it ends within moments."));
}

/** Which steps a retry buys a second time although the first may be paid. As the statement `retry_jobs` has it. */
function boughtAgain(job) {
  const code = job.error?.code;
  if (code === UNKNOWN) return unknownSteps(job);
  const forgotten = job.status === "cancelled" || EXPIRED.has(code);
  return forgotten ? job.steps.filter(({ state, provider }) => state === "running" && provider) : [];
}

export async function retry(job, { signal }) {
  const again = boughtAgain(job);
  if (again.length && !(await agreed(job, again, signal))) return null;
  return act(job, "retry", () => "It will run again. What it has, it keeps.");
}

async function agreed(job, steps, signal) {
  const unknown = job.error?.code === UNKNOWN;
  const providers = [...new Set(steps.map(({ provider }) => provider))].join(" and ");
  let list;
  try {
    list = await prices(job, steps, { signal });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    list = [h("li", null, `The price cannot be looked up now: ${error.detail}`)];
  }
  return confirmed({
    title: unknown ? "Buy it again?" : "Retry, and buy this again?",
    text: [
      h("p", null, unknown
        ? `The request was sent to ${providers} and its answer was lost: it may run there, and be paid. Look first at what ${providers} lists.`
        : `What ${providers} had begun is not waited for any more, and may be paid.`),
      h("p", null, unknown ? "Submitting it again buys:" : "To run again buys:"),
      h("ul", null, list),
    ],
    verb: unknown ? "Submit and buy again" : "Retry and buy again",
    danger: true,
  });
}

/** The buttons that the job's state allows. `acted(job)` gets the job as it stands then. */
export function buttons(job, { acted, signal }) {
  const button = (verb, shape, words, kind) => {
    const node = h("button", { class: kind, on: { click: pressed } }, icon(shape), words);
    async function pressed() {
      node.disabled = true;
      const changed = await verb(job, { signal });
      node.disabled = false;
      if (changed && !signal.aborted) acted(changed);
    }
    return node;
  };
  if (!job.completed_at && !job.cancel_requested) return [button(cancel, "close", "Cancel", "danger")];
  if (job.status !== "failed" && job.status !== "cancelled") return [];
  if (job.error?.code === UNKNOWN) return [button(retry, "retry", "Submit again …", "danger")];
  return [button(retry, "retry", boughtAgain(job).length ? "Retry …" : "Retry", "primary")];
}
