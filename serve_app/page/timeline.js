// The user's history on a line of time: a column for every few pixels, as high as there are events in it.

import { timeTicks } from "/page/axis.js";
import { byId, el, svg } from "/page/dom.js";
import { plural, shortMoment, whole } from "/page/format.js";

const HEIGHT = 84;
const BOTTOM = 20; // for the labels
const SIDE = 8; // half the knob of the slider above it, so that both tell the same moment at the same place
const COLUMN = 4;

// Draws `events` (the oldest first) from `from` to `to`, with a mark at `at`; a click calls `choose` with the moment.
export function drawTimeline(box, { events, from, to, at, choose }) {
  const width = box.clientWidth;
  if (!width) return;
  const inner = width - 2 * SIDE;
  const x = (moment) => SIDE + (inner * (moment - from)) / Math.max(to - from, 1);
  const floor = HEIGHT - BOTTOM;
  const columns = gather(events, (event) => Math.floor((x(event.timestamp) - SIDE) / COLUMN));
  const highest = Math.max(1, ...[...columns.values()].map((column) => column.length));
  // a root, so that one event beside a hundred is still seen
  const height = (count) => 4 + (floor - 14) * Math.sqrt(count / highest);
  const mark = Math.min(Math.max(x(at), SIDE), width - SIDE);

  const ticks = timeTicks(from, to, Math.max(1, inner / 95)).filter(({ at: tick }) => x(tick) > 32 && x(tick) < width - 32);
  box.replaceChildren(
    svg(
      "svg",
      {
        class: "timeline",
        width,
        height: HEIGHT,
        role: "img",
        "aria-label": inWords(events, at),
        onclick: (event) => choose(moment(event)),
      },
      svg("rect", { class: "coming", x: mark, y: 0, width: width - SIDE - mark, height: floor }),
      svg("line", { class: "axis", x1: SIDE, x2: width - SIDE, y1: floor + 0.5, y2: floor + 0.5 }),
      ...ticks.flatMap(({ at: tick, label }) => [
        svg("line", { class: "axis", x1: x(tick), x2: x(tick), y1: floor, y2: floor + 4 }),
        svg("text", { class: "tick", x: x(tick), y: HEIGHT - 4, "text-anchor": "middle" }, label),
      ]),
      ...[...columns].map(([place, inside]) =>
        svg(
          "rect",
          {
            class: inside[0].timestamp < at ? "event" : "event later",
            x: SIDE + place * COLUMN,
            y: floor - height(inside.length),
            width: COLUMN - 1,
            height: height(inside.length),
          },
          svg("title", {}, columnTitle(inside)),
        ),
      ),
      svg("line", { class: "mark", x1: mark, x2: mark, y1: 0, y2: floor }),
      svg("path", { class: "mark-head", d: `M${mark - 5} 0h10l-5 7z` }),
    ),
  );

  function moment(event) {
    const place = event.clientX - box.getBoundingClientRect().left - SIDE;
    return Math.round(from + ((to - from) * place) / inner);
  }
}

function gather(events, key) {
  const columns = new Map();
  for (const event of events) {
    const place = key(event);
    if (!columns.has(place)) columns.set(place, []);
    columns.get(place).push(event);
  }
  return columns;
}

function columnTitle(events) {
  const named = events.slice(0, 6).map((event) => event.title || event.item_id);
  const more = events.length > named.length ? [`and ${whole(events.length - named.length)} more`] : [];
  return [shortMoment(events[0].timestamp), ...named, ...more].join("\n");
}

function inWords(events, at) {
  if (!events.length) return "No events";
  const before = events.filter((event) => event.timestamp < at).length;
  const border = `from ${shortMoment(events[0].timestamp)} to ${shortMoment(events.at(-1).timestamp)}`;
  return `${plural(events.length, "event")} ${border}; ${whole(before)} of them before the chosen moment. A list is below.`;
}

const FIRST = 50;
let shown = FIRST;
let listed = null;

// The same as a list, the newest first. `go` is called with the moment of an event.
export function listEvents(events, go) {
  if (listed?.length !== events.length || listed[0] !== events[0]) shown = FIRST;
  listed = events;
  byId("events").replaceChildren(
    ...events
      .slice(-shown)
      .reverse()
      .map((event) => row(event, go)),
  );
  const more = byId("more");
  more.hidden = events.length <= shown;
  more.onclick = () => {
    shown += 200;
    byId("events").append(
      ...events
        .slice(-shown, -(shown - 200))
        .reverse()
        .map((event) => row(event, go)),
    );
    more.hidden = events.length <= shown;
  };
}

function row(event, go) {
  const name = event.title || event.item_id;
  const kind = [event.event, event.value === 1 ? "" : `value ${event.value}`].filter(Boolean).join(" ");
  return el(
    "li",
    {},
    el("time", { datetime: new Date(event.timestamp * 1000).toISOString() }, shortMoment(event.timestamp)),
    el("span", { class: "name" }, name, kind ? el("span", { class: "quiet" }, ` ${kind}`) : null),
    el(
      "button",
      { type: "button", class: "plain", "aria-label": `as of then, before ${name}`, onclick: () => go(event.timestamp) },
      "as of then",
    ),
  );
}
