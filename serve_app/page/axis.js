// Round places for the ticks of an axis.

import { day, hour, month, monthDay } from "/page/format.js";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONDAY = 4 * DAY; // the first Monday of unix time was 5 January 1970
const STEPS = [5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY];
const MONTHS = [1, 2, 3, 6, 12, 24, 60, 120];

// Moments of [from, to] in whole minutes, hours, days, Mondays or months (UTC), at most `most`: [{at, label}].
export function timeTicks(from, to, most) {
  const fits = (seconds) => (to - from) / seconds <= most;
  const step = STEPS.find(fits);
  if (!step) return monthTicks(from, to, MONTHS.find((months) => fits(months * 30 * DAY)) ?? 120);
  const origin = step >= 7 * DAY ? MONDAY : 0;
  const ticks = [];
  for (let at = origin + Math.ceil((from - origin) / step) * step; at <= to; at += step) ticks.push(at);
  const label = step < DAY ? hour : ticks.length && year(ticks[0]) === year(ticks.at(-1)) ? monthDay : day;
  return ticks.map((at) => ({ at, label: label(at) }));
}

function monthTicks(from, to, step) {
  const ticks = [];
  for (let place = Math.ceil((year(from) * 12) / step) * step; ; place += step) {
    const at = Date.UTC(Math.floor(place / 12), place % 12) / 1000;
    if (at > to) return ticks;
    if (at >= from) ticks.push({ at, label: month(at) });
  }
}

const year = (seconds) => new Date(seconds * 1000).getUTCFullYear();

// 0 and round numbers up to at least `top`, three or four of them.
export function countTicks(top) {
  const rough = Math.max(top, 1e-9) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((round) => round * power >= rough) * power;
  return Array.from({ length: Math.ceil(top / step) + 1 }, (_, place) => place * step);
}
