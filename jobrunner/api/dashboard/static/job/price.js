// What it would cost to buy a step once more, as far as that is known: what the same cost when it was bought last.

import { get } from "../api.js";
import { h, money } from "../parts.js";

const LOOKED_AT = 10;

/** Steps that were sent, or were about to be, and brought nothing: {name, provider, model, created_at}. */
export const unknownSteps = ({ steps }) => steps.filter(({ state, provider }) => state === "intent" && provider);

/** A sentence for each of `steps` of `job`: what it is, and its price. */
export async function prices(job, steps, { signal }) {
  const costs = await paid(job, signal);
  return steps.map((step) => h("li", null, h("strong", null, step.name), ` at ${step.provider}, ${step.model}: `, priced(step, costs)));
}

function priced(step, costs) {
  const like = costs.filter(({ provider, model, name }) => provider === step.provider && model === step.model && name === step.name);
  if (!like.length) return `nobody can say what it costs: ${step.provider} named no price for the last ones. See its price list.`;
  const amounts = like.map(({ cost }) => Number(cost.amount)).sort((a, b) => a - b);
  const { unit } = like[0].cost;
  const [low, high] = [amounts[0], amounts.at(-1)].map((amount) => money({ [unit]: amount }));
  return h("strong", null, low === high ? low : `${low} to ${high}`, ` each, by the last ${like.length} that were bought`);
}

/** What the newest completed jobs of the task bought. */
async function paid({ task, user_id }, signal) {
  const { data } = await get("/v1/jobs", { task, user_id, status: "completed", limit: LOOKED_AT }, { signal });
  const whole = await Promise.all(data.map(({ id }) => get(`/v1/jobs/${id}`, null, { signal })));
  return whole.flatMap(({ steps }) => steps.filter(({ cost }) => cost));
}
