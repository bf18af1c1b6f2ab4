// What time it is for the server: its times are compared with its own clock, not with one that may be minutes off.

let aheadMs = 0;

/** Tell of the `Date` header of an answer that has just come; it counts in seconds, so less than two are no news. */
export function heardDate(header) {
  const ahead = Date.parse(header) - Date.now();
  if (Number.isFinite(ahead)) aheadMs = Math.abs(ahead) < 2000 ? 0 : ahead;
}

/** Milliseconds since 1970, by the server's clock. */
export const now = () => Date.now() + aheadMs;
