// Numbers, times and states as people read them.

const KINDS = {
  SUCCEEDED: "good", AVAILABLE: "good", FAILED: "bad", REFUSED: "bad", LOST: "bad",
  DONE: "good", ROLLED_BACK: "bad", ABORTED: "quiet", PAUSED: "wait",
  RUNNING: "busy", CANCELLING: "busy", STAGED: "busy", QUEUED: "wait", CANCELLED: "quiet", DRAINED: "wait", STORED: "wait",
};
const STEPS = [[60, "second"], [3600, "minute", 60], [86400, "hour", 3600], [Infinity, "day", 86400]];
const relative = new Intl.RelativeTimeFormat("en", {numeric: "auto"});

export const ENDED = ["SUCCEEDED", "FAILED", "CANCELLED"];
export const kind = (state) => KINDS[state] || "";

/** A measured number: four digits; very small and very large ones with an exponent. */
export function number(value) {
  if (typeof value !== "number") return "";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en", {useGrouping: "min2"});
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e9)) return value.toExponential(2);
  return value.toLocaleString("en", {maximumSignificantDigits: 4, useGrouping: "min2"});
}

/** The shortest decimal that is the same float32: 37.8 for 37.79999923706055. Other numbers as they are. */
export function shortest(value) {
  if (Math.fround(value) !== value) return value;
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

export function bytes(value) {
  if (typeof value !== "number") return "";
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${number(Number((value / 1000 ** power).toPrecision(3)))} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** A length of time in seconds. */
export function duration(seconds) {
  if (typeof seconds !== "number") return "";
  if (seconds < 60) return `${number(Number(seconds.toPrecision(2)))} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const milliseconds = (seconds) => (typeof seconds === "number" ? `${number(1000 * seconds)} ms` : "");

export function between(start, end) {
  return start ? duration(Math.max(0, ((end ? new Date(end) : new Date()) - new Date(start)) / 1000)) : "";
}

export function ago(time) {
  const seconds = Math.max(0, (Date.now() - new Date(time)) / 1000);
  const [, unit, size = 1] = STEPS.find(([limit]) => seconds < limit);
  return unit === "second" ? "just now" : relative.format(-Math.floor(seconds / size), unit);
}

export const exactly = (time) => new Date(time).toLocaleString();
