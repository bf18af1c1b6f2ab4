// The public API, as pages ask it. All of it throws ApiError; after a 401 the sign-in page shows by itself.

import { address, ask } from "./ask.js";

export { ApiError } from "./ask.js";
export { session } from "./session.js";
export { pause, stream, visible } from "./stream.js";

/** The answer's JSON; null where it has none. */
async function json(url, options) {
  const answer = await ask(url, options);
  return answer.status === 204 ? null : answer.json();
}

/** `takes`: statuses that are an answer too, not an error. `withinMs`: how long it may take. */
export const get = (path, query, { signal, takes, withinMs } = {}) =>
  json(address(path, query), { signal, takes, withinMs });

export const del = (path, { signal } = {}) => json(path, { method: "DELETE", signal });

export function post(path, body = {}, { headers, signal } = {}) {
  const typed = { "Content-Type": "application/json", ...headers };
  return json(path, { method: "POST", body: JSON.stringify(body), headers: typed, signal });
}

/** Keep a picture, clip or sound; answers its artifact. `user_id`: whose jobs alone may name it. */
export const upload = (file, { user_id, signal } = {}) =>
  json(address("/v1/artifacts", { user_id }), { method: "POST", body: file, signal });
