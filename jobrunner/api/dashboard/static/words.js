// Numbers and times in words. Pure: text in, text out.

const STEPS = [
  [60, 1, "s"],
  [3600, 60, "min"],
  [86_400, 3600, "h"],
  [Infinity, 86_400, "d"],
];
const NONE = "–";
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const COUNT = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

/** 1234 -> "1,234"; nothing known -> a dash. */
export const count = (n) => (n == null ? NONE : COUNT.format(n));

/** 0.35 -> "350 ms", 1.4 -> "1.4 s", 200 -> "3 min 20 s". */
export function seconds(n) {
  if (n == null) return NONE;
  if (n > 0 && n < 1) return `${Math.round(n * 1000)} ms`;
  if (n < 10) return `${Number(n.toFixed(1))} s`;
  const whole = Math.round(n);
  const at = STEPS.findIndex(([below]) => whole < below);
  const [, size, unit] = STEPS[at];
  const rest = at ? Math.floor((whole % size) / STEPS[at - 1][1]) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${STEPS[at - 1][2]}` : ""}`;
}

/** 1234567 -> "1.2 MB". */
export function bytes(n) {
  if (n == null) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const at = n < 1000 ? 0 : Math.min(Math.floor(Math.log10(n) / 3), units.length - 1);
  const size = n / 1000 ** at;
  return `${at && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[at]}`;
}

/** {USD: 1.25, credits: 30} -> "$1.25 + 30 credits". Amounts are numbers, or decimal numbers as text. */
export function money(amounts) {
  const said = Object.entries(amounts ?? {}).map(([unit, amount]) => {
    const digits = Math.abs(amount) >= 0.1 || Number(amount) === 0 ? 2 : 4;
    if (unit.toLowerCase() === "usd") return `$${Number(amount).toFixed(digits)}`;
    return `${COUNT.format(amount)} ${unit}`;
  });
  return said.join(" + ") || NONE;
}

/** How long ago `ms` was, or until it is; both since 1970. */
export function ago(ms, nowMs) {
  const s = Math.abs(nowMs - ms) / 1000;
  if (s < 3) return "just now";
  if (s >= 7 * 86_400) return DAY.format(ms);
  const [, size, unit] = STEPS.find(([below]) => Math.floor(s) < below);
  const said = `${Math.floor(s / size)} ${unit}`;
  return ms > nowMs ? `in ${said}` : `${said} ago`;
}

/** The moment in full, in the reader's time zone. */
export const moment = (ms) => MOMENT.format(ms);

/** "in_progress" -> "in progress". */
export const spaced = (word) => String(word).replaceAll("_", " ");
