// The list of recommendations: what, why, and what changed since something was taken.

import { bar, legend, reach } from "/page/bars.js";
import { badge, badgeInWords, compare, goneInWords, summary } from "/page/changes.js";
import { byId, el, say } from "/page/dom.js";
import { score, shortMoment } from "/page/format.js";

const LACKS = {
  encoder: "The encoder did not answer in time: the list lacks what it reads from the history.",
  forecaster: "The forecaster did not answer in time: its forecasts are of an earlier step.",
  store: "The event store cannot be reached: the newest events are not counted.",
};
const word = document.body.dataset.takeWord;

byId("legend").replaceChildren(...legend());

// Draws `answer`; `before` is the list it is compared with, or null. `open` and `take` are called with an item.
export function showAnswer(answer, { before, taken, open, take }) {
  const difference = before && compare(before, answer.items);
  const scale = reach(answer.items);
  keepFocus(() =>
    byId("items").replaceChildren(
      ...answer.items.map((item) => row(item, scale, difference?.moves.get(item.item_id), open, take)),
    ),
  );
  say(byId("told"), inWords(answer));
  say(byId("empty"), answer.items.length ? "" : "Nothing fits: no item of this category, or all of them are excluded.");
  showChanges(difference, taken);
}

export const titleOf = (item) => item.title || item.item_id;

function row(item, scale, move, open, take) {
  const name = titleOf(item);
  return el(
    "li",
    { class: `place ${move?.kind ?? ""}`, "data-id": item.item_id },
    el("span", { class: "rank" }, String(item.rank)),
    el(
      "div",
      { class: "what" },
      el("button", { type: "button", class: "title", "data-role": "open", onclick: () => open(item) }, name),
      move && badge(move)
        ? el(
            "span",
            { class: "badge" },
            el("span", { "aria-hidden": "true" }, badge(move)),
            el("span", { class: "unseen" }, badgeInWords(move)),
          )
        : null,
      item.category ? el("span", { class: "category quiet" }, item.category) : null,
    ),
    item.parts ? bar(item, scale) : el("span"),
    el("span", { class: "score" }, el("span", { class: "unseen" }, "score "), score(item.score)),
    el(
      "button",
      { type: "button", class: "take", "data-role": "take", "aria-label": `${word}: ${name}`, onclick: () => take(item) },
      word,
    ),
  );
}

// The list is built anew with every answer; whoever stands on a part of it stays there, or comes to the list's head.
function keepFocus(rebuild) {
  const list = byId("items");
  const { id } = document.activeElement?.closest?.("#items [data-id]")?.dataset ?? {};
  const { role } = document.activeElement?.dataset ?? {};
  rebuild();
  if (id === undefined) return;
  const same = [...list.children].find((place) => place.dataset.id === id)?.querySelector(`[data-role="${role}"]`);
  (same ?? byId("list")).focus({ preventScroll: true });
}

function inWords(answer) {
  const lacking = answer.degraded.map((part) => LACKS[part] ?? `The part ${part} did not answer: the list lacks what it says.`);
  const unknown = answer.known ? [] : ["There is no history before then: this is answered from momentum and context."];
  return [...lacking, ...unknown].join(" ");
}

function showChanges(difference, taken) {
  const box = byId("changed");
  box.hidden = !difference;
  if (!difference) return box.replaceChildren();
  const { gone } = difference;
  box.replaceChildren(
    el("p", {}, "You took ", el("strong", {}, taken), `: ${summary(difference)}.`),
    gone.length ? el("p", { class: "quiet" }, `Gone: ${gone.map(goneInWords).join("; ")}`) : "",
  );
}

export const changesInWords = (before, answer, taken) => `You took ${taken}: ${summary(compare(before, answer.items))}`;
export const answerInWords = (answer) => `${answer.items.length} recommendations as of ${shortMoment(answer.at)}`;
