// Numbers and moments in words. Every moment is unix seconds and told in UTC.

const words = (options) => {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  return (seconds) => format.format(seconds * 1000);
};

const exact = words({
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const short = words({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

export const day = words({ day: "numeric", month: "short", year: "numeric" });
export const monthDay = words({ day: "numeric", month: "short" });
export const hour = words({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
export const month = words({ month: "short", year: "numeric" });
export const moment = (seconds) => `${exact(seconds)} UTC`;
export const shortMoment = (seconds) => `${short(seconds)} UTC`;

export const whole = (number) => Math.round(number).toLocaleString("en");
export const amount = (number) => (Math.abs(number) >= 100 ? whole(number) : String(Number(number.toPrecision(3))));
export const score = (number) => number.toFixed(2).replace("-", "−");
export const signed = (number) => (number >= 0 ? "+" : "") + score(number);
export const milliseconds = (number) => `${number < 10 ? number.toFixed(1) : whole(number)} ms`;

export function plural(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

const UNITS = [
  [86400 * 7, "week"],
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

// A step of a series: "week", "6 hours".
export function span(seconds) {
  const [size, name] = UNITS.find(([unit]) => seconds % unit === 0) ?? [1, "second"];
  return seconds === size ? name : plural(seconds / size, name);
}

// About how long ago, in the largest unit that fits.
export function ago(seconds) {
  if (seconds < 1) return "now";
  const [size, name] = [[86400 * 365, "year"], [86400 * 30, "month"], ...UNITS].find(([unit]) => seconds >= unit);
  return `${plural(Math.floor(seconds / size), name)} ago`;
}
