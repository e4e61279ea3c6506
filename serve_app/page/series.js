// An item's series and where it is heading: columns for what happened, a band and a line for what is expected.

import { countTicks, timeTicks } from "/page/axis.js";
import { el, svg } from "/page/dom.js";
import { amount, plural, shortMoment, span } from "/page/format.js";

const HEIGHT = 190;
const LEFT = 38;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 22;
const MOST = 120; // steps of the past that are drawn

// Draws `told`, an answer of /v1/items/{id}/forecast, into `box`.
export function drawSeries(box, told) {
  const width = box.clientWidth;
  if (!width) return;
  const { step_seconds: step, at, forecast } = told;
  const past = told.series.slice(-MOST);
  if (!past.length && !forecast.length) {
    box.replaceChildren(el("p", { class: "quiet" }, "Nothing happened with it before then."));
    return;
  }
  const all = [...past, ...forecast];
  const [from, to] = [all[0].from, all.at(-1).from + step];
  const levels = countTicks(Math.max(1, ...past.map((one) => one.count), ...forecast.map((one) => one.q90 ?? one.mean)));
  const floor = HEIGHT - BOTTOM;
  const x = (moment) => LEFT + ((width - LEFT - RIGHT) * (moment - from)) / (to - from);
  const y = (value) => floor - ((floor - TOP) * value) / levels.at(-1);
  const middle = (one) => x(one.from + step / 2);
  const line = (name) => forecast.map((one) => `${middle(one)},${y(one[name])}`);
  const banded = forecast.length > 0 && forecast.every((one) => one.q10 !== undefined && one.q90 !== undefined);
  const column = Math.max(1, x(from + step) - x(from) - 1);
  const ticks = timeTicks(from, to, Math.max(1, (width - LEFT) / 80)).filter(
    (tick) => x(tick.at) > LEFT + 14 && x(tick.at) < width - 24,
  );

  box.replaceChildren(
    svg(
      "svg",
      { class: "series", width, height: HEIGHT, role: "img", "aria-label": inWords(told) },
      ...levels.flatMap((level) => [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(level), y2: y(level) }),
        svg("text", { class: "tick", x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" }, amount(level)),
      ]),
      ...ticks.map((tick) => svg("text", { class: "tick", x: x(tick.at), y: HEIGHT - 5, "text-anchor": "middle" }, tick.label)),
      ...past.map((one) =>
        svg(
          "rect",
          { class: "count", x: x(one.from), y: y(one.count), width: column, height: floor - y(one.count) },
          svg("title", {}, `${shortMoment(one.from)}: ${amount(one.count)}`),
        ),
      ),
      banded ? svg("polygon", { class: "band", points: [...line("q90"), ...line("q10").reverse()].join(" ") }) : null,
      forecast.length ? svg("polyline", { class: "mean", points: line("mean").join(" ") }) : null,
      ...forecast.map((one) =>
        svg("circle", { class: "mean-dot", cx: middle(one), cy: y(one.mean), r: 3 }, svg("title", {}, pointTitle(one))),
      ),
      at >= from && at <= to ? svg("line", { class: "mark", x1: x(at), x2: x(at), y1: TOP, y2: floor }) : null,
    ),
    el(
      "p",
      { class: "key quiet" },
      key("count", `events a ${span(step)}`),
      forecast.length ? key("mean", "forecast") : null,
      banded ? key("band", "its 10 % to 90 %") : null,
      told.series.length > MOST ? el("span", {}, `the latest ${MOST} of ${plural(told.series.length, "step")}`) : null,
    ),
  );
}

const key = (name, text) => el("span", {}, el("span", { class: `swatch ${name}`, "aria-hidden": "true" }), ` ${text}`);
const range = (one) => (one.q10 === undefined ? "" : ` (${amount(one.q10)} to ${amount(one.q90)})`);
const pointTitle = (one) => `${shortMoment(one.from)}: ${amount(one.mean)}${range(one)}`;

function inWords({ series, forecast, step_seconds: step }) {
  const last = series.length ? `${amount(series.at(-1).count)} events in the last ${span(step)} that is over` : "no events yet";
  const next = forecast.length
    ? `; forecast for the ${span(step)} from ${shortMoment(forecast[0].from)}: ${amount(forecast[0].mean)}${range(forecast[0])}`
    : "";
  return `${last}${next}. The table below has the numbers.`;
}

// The numbers for those who do not see the chart.
export function seriesTable({ series, forecast, step_seconds: step }) {
  const rows = [
    ...forecast.toReversed().map((one) => [one.from, `forecast ${amount(one.mean)}${range(one)}`]),
    ...series
      .slice(-30)
      .reverse()
      .map((one) => [one.from, amount(one.count)]),
  ];
  return el(
    "details",
    {},
    el("summary", {}, "As a table"),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Series as a table" },
      el(
        "table",
        { class: "plain-table" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, `${span(step)} from`), el("th", { scope: "col" }, "events"))),
        el("tbody", {}, ...rows.map(([from, text]) => el("tr", {}, el("td", {}, shortMoment(from)), el("td", {}, text)))),
      ),
    ),
  );
}
