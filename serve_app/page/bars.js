// What speaks for an item and what against it: one bar, the parts that add to the score right of zero, the others left.

import { el, svg } from "/page/dom.js";
import { score, signed } from "/page/format.js";

const PARTS = ["taste", "momentum", "habit", "context"];
const WIDTH = 1000;
const HEIGHT = 14;

// The reach of the bars of a list, so that they can be compared: {low: at most 0, high: at least 0}.
export function reach(items) {
  const sums = items.filter((item) => item.parts).map(({ parts }) => sides(parts));
  return { low: Math.min(0, ...sums.map((sum) => sum.low)), high: Math.max(0, ...sums.map((sum) => sum.high)) };
}

function sides(parts) {
  const values = PARTS.map((name) => parts[name] ?? 0);
  const sum = (kept) => values.filter(kept).reduce((total, value) => total + value, 0);
  return { low: sum((value) => value < 0), high: sum((value) => value > 0) };
}

// The bar of one item, with its numbers as text for those who hear it and for those who point at it.
export function bar(item, { low, high }) {
  const scale = WIDTH / Math.max(high - low, 1e-9);
  const zero = -low * scale;
  let left = zero;
  let right = zero;
  const pieces = PARTS.map((name) => {
    const size = Math.abs(item.parts[name] ?? 0) * scale;
    const negative = item.parts[name] < 0;
    if (negative) left -= size;
    const x = negative ? left : right;
    if (!negative) right += size;
    return svg("rect", { class: `part ${name}`, x, y: 2, width: size, height: HEIGHT - 4, "data-part": name });
  });
  return el(
    "div",
    {
      class: "bar",
      role: "img",
      tabindex: 0,
      "data-role": "bar",
      "aria-label": inWords(item),
      onkeydown: hideOnEscape,
      onblur: showAgain,
    },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...pieces,
      svg("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: HEIGHT }),
    ),
    numbers(item),
  );
}

function inWords({ parts, score: sum }) {
  const told = [...PARTS, "baseline"].map((name) => `${name} ${signed(parts[name] ?? 0)}`);
  return `${told.join(", ")}; together ${score(sum)}`;
}

function numbers({ parts, score: sum }) {
  const row = (name, value) => el("tr", {}, el("th", {}, swatch(name), name), el("td", {}, value));
  return el(
    "table",
    { class: "numbers", "aria-hidden": "true" },
    el(
      "tbody",
      {},
      ...PARTS.map((name) => row(name, signed(parts[name] ?? 0))),
      row("baseline", signed(parts.baseline ?? 0)),
      row("score", score(sum)),
    ),
  );
}

function hideOnEscape(event) {
  if (event.key === "Escape") event.currentTarget.classList.add("closed");
}

function showAgain(event) {
  event.currentTarget.classList.remove("closed");
}

export function legend() {
  const named = PARTS.map((name) => el("li", {}, swatch(name), name));
  return [...named, el("li", { class: "quiet" }, "left of the line: speaks against")];
}

function swatch(name) {
  return el("span", { class: `swatch ${name}`, "aria-hidden": "true" });
}
