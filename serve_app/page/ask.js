// What the page asks the server for, and what becomes of answers and errors.

import * as api from "/page/api.js";
import { debounce } from "/page/dom.js";
import { known, set, state } from "/page/state.js";
import { showLatency } from "/page/status.js";

const LENGTH = 10; // items of a list
const HISTORY = 1000; // events that are loaded, the most that one answer has
const QUIET = 250; // milliseconds without another choice after which a chosen moment or filter is asked for

const running = {}; // of each kind of question the newest alone counts
let passing = false; // the last question failed for a reason that passes

export const isPassing = () => passing;

function only(kind) {
  running[kind]?.abort();
  running[kind] = new AbortController();
  return running[kind].signal;
}

export function failed(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof api.Failure)) throw error;
  passing ||= [0, 503, 504].includes(error.status);
  if (error.status === 401) set({ keyNeeded: api.hasKey() ? "This key was not accepted." : error.message });
  else if (error.status === 0) set({ down: true });
  else set({ problem: error.message });
}

// The page opens with the user who has the longest history.
async function askUser() {
  const { users } = await api.users("", 1, only("first"));
  if (state.user === undefined) set({ user: users[0]?.user_id ?? null });
}

async function askHistory() {
  const { user } = state;
  const signal = only("history");
  if (user === null) return set({ history: { count: 0, events: [] } });
  try {
    const { count, events } = await api.history(user, HISTORY, signal);
    set({ history: { count, events: events.reverse() } });
  } catch (error) {
    if (error.status !== 404) throw error;
    set({ history: { count: 0, events: [] } });
  }
}

// `alongside`: what is known only together with the answer
async function askList(alongside) {
  const signal = only("list");
  set({ busy: true });
  try {
    const answer = await api.recommend(question(state.at), signal);
    set({ answer, problem: "", keyNeeded: "", busy: false, ...alongside });
  } catch (error) {
    if (error.name !== "AbortError") set({ busy: false });
    throw error;
  }
}

// The body of a request for recommendations as of `at`, null for now.
export function question(at) {
  const body = { k: LENGTH, explain: true, diversity: state.diversity };
  if (state.user !== null) body.user_id = state.user;
  if (at !== null) body.at = at;
  if (state.category) body.category = state.category;
  if (state.exclude) body.exclude = [...new Set(known().map((event) => event.item_id))];
  return body;
}

export async function askItem() {
  const { item, at } = state;
  const signal = only("item");
  if (!item) return;
  try {
    const asked = [api.forecast(item.item_id, at, signal), api.similar(item.item_id, at, signal)];
    const [forecast, similar] = await Promise.all(asked);
    set({ told: { forecast, similar } });
  } catch (error) {
    if (error.status !== 404) throw error;
    set({ told: { forecast: { series: [], forecast: [] }, similar: { items: [] } } }); // it came later
  }
}

// Everything that is on the page, as of the chosen moment.
export async function ask({ history = true, alongside = {} } = {}) {
  passing = false;
  try {
    if (state.user === undefined) await askUser();
    const loaded = history ? askHistory() : null;
    if (state.exclude) await loaded; // it says what to exclude
    await Promise.all([loaded, askList(alongside), askItem()]);
  } catch (error) {
    failed(error);
  }
  showLatency();
}

export const askSoon = debounce(QUIET, () => ask({ history: false }));
