// What the page knows, and who wants to hear of it.

export const state = {
  user: undefined, // an identifier, null for somebody new, undefined before anybody was chosen
  history: null, // {count, events: the oldest first}; null while it is not known
  at: null, // unix seconds; null follows the clock
  category: "",
  diversity: 0,
  exclude: false,
  answer: null, // of /v1/recommend
  before: null, // the list that the answer is compared with, after something was taken
  taken: "", // title of what was taken
  item: null, // {item_id, title, category} of the open item
  told: null, // {forecast, similar} of the open item
  parts: null, // of /readyz
  busy: false,
  down: false,
  problem: "",
  keyNeeded: "",
};

const listeners = [];

// Calls `listener` whenever one of the `names` changed.
export function on(names, listener) {
  listeners.push({ names, listener });
}

export function set(changes) {
  const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
  Object.assign(state, changes);
  for (const { names, listener } of listeners) {
    if (names.some((name) => changed.includes(name))) listener();
  }
}

// The server's clock, which need not be this machine's: `timerec serve --clock log` lives in the log's time.
let ahead = (Date.now() - performance.now()) / 1000;

export function setClock(now) {
  ahead = now - performance.now() / 1000;
}

export const now = () => Math.floor(ahead + performance.now() / 1000);
export const shownMoment = () => state.at ?? now();

// Events strictly before the shown moment, the oldest first. The server told those up to now, by its own clock.
export function known() {
  const events = state.history?.events ?? [];
  return state.at === null ? events : events.filter((event) => event.timestamp < state.at);
}
