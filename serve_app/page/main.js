// What happens when: people choose, the page asks, answers are drawn.

import * as api from "/page/api.js";
import { ask, askItem, askSoon, failed, isPassing, question } from "/page/ask.js";
import { initCombobox, setChosen } from "/page/combobox.js";
import { byId, el, onWidth, say } from "/page/dom.js";
import { ago, moment as inWords, plural, whole } from "/page/format.js";
import { focusItem, initItem, showItem, showTold } from "/page/item.js";
import { answerInWords, changesInWords, showAnswer, titleOf } from "/page/recommendations.js";
import { known, now, on, set, setClock, shownMoment, state } from "/page/state.js";
import { showLatency, showParts } from "/page/status.js";
import { drawTimeline, listEvents } from "/page/timeline.js";

const POLL = 2000; // milliseconds between looks at the state of the parts
const REFRESH = 30_000; // milliseconds after which a list as of now is asked again
const WITHOUT_HISTORY = 90 * 86400; // seconds that the slider reaches back for somebody without a first event
const SHORTEST = 3600; // seconds that the slider reaches back at least
const STEPS = [1, 60, 300, 900, 3600, 6 * 3600, 86400]; // of the slider, in seconds
const announce = (text) => say(byId("said"), text);

// --- choosing -----------------------------------------------------------------------------------------------------------------

function chooseUser(user) {
  set({ user, history: null, at: null, before: null });
  ask();
}

function chooseMoment(at) {
  set({ at: at === null || at >= now() ? null : Math.max(at, 1), before: null });
  askSoon();
}

function openItem(item) {
  set({ item, told: null });
  focusItem();
  askItem().catch(failed).finally(showLatency);
}

function closeItem() {
  const id = state.item?.item_id;
  set({ item: null, told: null });
  const place = [...byId("items").children].find((one) => one.dataset.id === id);
  (place?.querySelector(".title") ?? byId("list")).focus();
}

let taking = false;

// Somebody new gets an identifier with the first thing they take. What changed is told against a list of this
// moment: the one on the page may be of an hour ago.
async function take(item) {
  if (taking) return;
  taking = true;
  try {
    const chosen = state.user;
    const before = await api.recommend(question(null));
    const user = chosen ?? `guest-${api.newId().slice(0, 8)}`;
    await api.take({ event_id: api.newId(), user_id: user, item_id: item.item_id, event: usualKind() });
    if (state.user !== chosen) return; // somebody else was chosen meanwhile
    set({ user, at: null });
    await ask({ alongside: { before: before.items, taken: titleOf(item) } });
    if (state.before === before.items) announce(changesInWords(before.items, state.answer, state.taken));
  } catch (error) {
    failed(error);
  } finally {
    taking = false;
  }
}

// The kind of event that the page is told to send, or the one that is most frequent in the history.
function usualKind() {
  const told = document.body.dataset.takeEvent;
  if (told) return told;
  const counts = new Map();
  for (const { event } of known()) counts.set(event, (counts.get(event) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? "";
}

// --- drawing ------------------------------------------------------------------------------------------------------------------

const slider = byId("moment");

function drawWhen() {
  const [at, latest] = [shownMoment(), now()];
  const first = firstMoment();
  slider.step = STEPS.findLast((step) => step * 300 <= latest - first) ?? 1;
  slider.min = first;
  slider.max = latest;
  slider.value = at;
  const words = state.at === null ? `now, ${inWords(at)}` : `${inWords(at)} (${ago(latest - at)})`;
  say(byId("moment-words"), words);
  slider.setAttribute("aria-valuetext", state.at === null ? "now" : words); // a text that ticks would be read out every second
  byId("now").setAttribute("aria-pressed", String(state.at === null));
}

function firstMoment() {
  const first = state.history?.events[0]?.timestamp ?? now() - WITHOUT_HISTORY;
  return Math.min(first, now() - SHORTEST);
}

function drawHistory() {
  const events = state.history?.events ?? [];
  drawTimeline(byId("timeline"), { events, from: firstMoment(), to: now(), at: shownMoment(), choose: chooseMoment });
  if (byId("history").open) listEvents(known(), chooseMoment);
}

function drawWho() {
  if (state.user === undefined) return;
  byId("somebody").setAttribute("aria-pressed", String(state.user === null));
  say(byId("who"), whoInWords());
}

function whoInWords() {
  if (state.user === null) return "Somebody new, without a history";
  if (!state.history) return "";
  const { count, events } = state.history;
  const part = count > events.length ? `; the latest ${whole(events.length)} are shown` : "";
  const before = state.at === null ? "" : `, ${whole(known().length)} of them before then`;
  return `User ${state.user}: ${plural(count, "event")}${before}${part}`;
}

function drawAnswer() {
  if (!state.answer) return;
  showAnswer(state.answer, { before: state.before, taken: state.taken, open: openItem, take });
  markOpen();
  learnCategories(state.answer.items);
  tellAnswer();
}

// Said when somebody chose something or the list is another; the clock alone is not worth a word.
let said = "";

function tellAnswer() {
  const key = JSON.stringify([state.user, state.at, state.answer.items.map((item) => item.item_id)]);
  if (key !== said && !state.before) announce(answerInWords(state.answer));
  said = key;
}

function markOpen() {
  for (const place of byId("items").children) place.classList.toggle("open", place.dataset.id === state.item?.item_id);
}

// The interface has no list of categories: those that were seen are offered, others can be typed.
const categories = new Set();

function learnCategories(items) {
  for (const { category } of items) {
    if (!category || categories.has(category)) continue;
    categories.add(category);
    byId("categories").append(el("option", { value: category }));
  }
}

function drawProblems() {
  say(byId("down"), state.down ? "The server cannot be reached. It is asked again every two seconds." : "");
  say(byId("problem"), state.problem);
  const form = byId("key-form");
  if (!state.keyNeeded && form.contains(document.activeElement)) byId("list").focus();
  form.hidden = !state.keyNeeded;
  byId("key-problem").textContent = state.keyNeeded;
}

on(["user"], () => setChosen(state.user ?? ""));
on(["user", "history", "at"], drawWho);
on(["history", "at"], drawWhen);
on(["history", "at"], drawHistory);
on(["answer", "before"], drawAnswer);
on(["item"], () => {
  showItem(state.item);
  markOpen();
});
on(["told"], () => showTold(state.told, openItem));
on(["busy"], () => byId("items").setAttribute("aria-busy", String(state.busy)));
on(["down", "problem", "keyNeeded"], drawProblems);
on(["parts"], () => showParts(state.parts));

// --- the server's state and its clock -----------------------------------------------------------------------------------------

async function look() {
  if (!document.hidden) await lookOnce();
  showLatency();
  setTimeout(look, POLL);
}

async function lookOnce() {
  try {
    const parts = await api.ready();
    setClock(parts.now);
    const back = state.down;
    set({ parts, down: false });
    if (back) announce("The server can be reached again.");
    if (back || isPassing()) ask();
  } catch (error) {
    if (!(error instanceof api.Failure)) throw error;
    set({ parts: null, down: true });
  }
}

function follow() {
  if (state.at === null && !document.hidden && !state.down && !taking && state.answer) ask();
}

// --- wiring -------------------------------------------------------------------------------------------------------------------

initCombobox(chooseUser, failed, announce);
initItem({ close: closeItem });
byId("somebody").addEventListener("click", () => chooseUser(null));
byId("now").addEventListener("click", () => chooseMoment(null));
slider.addEventListener("input", () => {
  const value = Number(slider.value);
  chooseMoment(value + Number(slider.step) > Number(slider.max) ? null : value); // the last place is now
});
byId("history").addEventListener("toggle", drawHistory);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setKey(byId("key").value);
  byId("key").value = "";
  ask();
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("controls").addEventListener("input", () => {
  const diversity = Number(byId("diversity").value);
  byId("diversity-value").textContent = String(diversity);
  set({ category: byId("category").value.trim(), diversity, exclude: byId("exclude").checked, before: null });
  askSoon();
});

showParts(null);
drawWhen();
onWidth(byId("timeline"), drawHistory);
setInterval(() => state.at === null && drawWhen(), 1000);
setInterval(follow, REFRESH);
await lookOnce();
await ask();
setTimeout(look, POLL);
