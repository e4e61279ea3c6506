// The open item: where it is heading, and what is like it.

import { byId, el, onWidth, say } from "/page/dom.js";
import { titleOf } from "/page/recommendations.js";
import { drawSeries, seriesTable } from "/page/series.js";
import { state } from "/page/state.js";

const WHY = { together: "taken together", text: "reads alike" };
const chart = byId("series");

// `close` and `open(item)` say what the buttons do.
export function initItem({ close }) {
  byId("close").addEventListener("click", close);
  onWidth(chart, () => state.told && drawSeries(chart, state.told.forecast));
}

export function showItem(item) {
  say(byId("item-title"), item ? titleOf(item) : "Item");
  byId("close").hidden = !item;
  byId("item-hint").hidden = Boolean(item);
  byId("item-body").hidden = !item;
  if (!item) return;
  say(byId("item-about"), [`item ${item.item_id}`, item.category].filter(Boolean).join(" · "));
}

// `told` is {forecast, similar}, or null while they are asked for.
export function showTold(told, open) {
  if (!told) {
    for (const id of ["series", "series-table", "similar"]) byId(id).replaceChildren();
    return;
  }
  const { forecast, similar } = told;
  const wasOpen = byId("series-table").querySelector("details")?.open;
  byId("series-table").replaceChildren(seriesTable(forecast));
  byId("series-table").querySelector("details").open = Boolean(wasOpen);
  drawSeries(chart, forecast);
  byId("similar").replaceChildren(
    ...similar.items.map((item) =>
      el(
        "li",
        {},
        el("button", { type: "button", class: "title", onclick: () => open(item) }, titleOf(item)),
        el("span", { class: "quiet" }, `${WHY[item.reason] ?? item.reason} ${item.score.toFixed(2)}`),
      ),
    ),
  );
}

export function focusItem() {
  byId("item-title").focus({ preventScroll: true });
  const narrow = matchMedia("(max-width: 959px)").matches;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (narrow) byId("item").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
}
