// One request to the server, and what is wrong with its answer.

import { heardDate } from "./clock.js";
import { end, session } from "./session.js";

const READING = new Set(["GET", "HEAD"]);

/** What went wrong. `status` 0: there was no answer. `code` stays the same; `detail` is for people. */
export class ApiError extends Error {
  constructor({ status, code, title, detail, errors = [] }, { requestId = null, retryAfterS = null } = {}) {
    super(detail);
    Object.assign(this, { status, code, title, detail, errors, requestId, retryAfterS });
  }

  /** Whether the same request may go well later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** `/v1/jobs` and {status: "failed", task: null} -> `/v1/jobs?status=failed`; what is null or empty is left out. */
export function address(path, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value != null && value !== "");
  const words = new URLSearchParams(given).toString();
  return words ? `${path}?${words}` : path;
}

/**
 * The answer, if it is a good one, or one of the statuses that are taken too. Throws ApiError, and what `signal` was
 * aborted with. A 401 ends the session. `withinMs`: a server that hangs is not waited for any longer.
 */
export async function ask(url, { method = "GET", headers = {}, body, signal, takes = [], withinMs } = {}) {
  const ends = AbortSignal.any([signal, withinMs && AbortSignal.timeout(withinMs)].filter(Boolean));
  const token = READING.has(method) || !session.token ? {} : { "X-Jobrunner-Token": session.token };
  let answer;
  try {
    answer = await fetch(url, { method, headers: { ...headers, ...token }, body, signal: ends, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    const late = `The server has not answered for ${withinMs / 1000} s.`;
    const detail = error.name === "TimeoutError" ? late : "The server cannot be reached. Is it running?";
    throw new ApiError({ status: 0, code: "unreachable", title: "No answer", detail });
  }
  heardDate(answer.headers.get("Date"));
  if (answer.ok || takes.includes(answer.status)) return answer;
  if (answer.status === 401) end();
  throw new ApiError(await problemIn(answer), {
    requestId: answer.headers.get("X-Request-Id"),
    retryAfterS: Number(answer.headers.get("Retry-After")) || null,
  });
}

async function problemIn(answer) {
  try {
    return await answer.json();
  } catch {
    const { status } = answer;
    const detail = `Something between this page and the server answered ${status}.`;
    return { status, code: "no_problem_document", title: "A strange answer", detail };
  }
}
