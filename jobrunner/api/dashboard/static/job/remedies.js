// What to do about an error, by its code: the words are the API's own, from its document.

import { get } from "../api.js";

let codes = null;

/** {meaning, remedy}, or null for a code that only the task knows. */
export async function remedyFor(code) {
  codes ??= get("/openapi.json").then((document) => new Map(document["x-job-codes"].map((each) => [each.word, each])));
  try {
    return (await codes).get(code) ?? null;
  } catch (error) {
    codes = null; // asked for again next time
    throw error;
  }
}
