// An input that finds users, after the WAI-ARIA pattern "combobox with a listbox": the focus stays in the input, the arrows move
// through the options, Enter chooses, Escape closes and, closed already, puts back who is chosen.

import { Failure, users } from "/page/api.js";
import { byId, debounce, el } from "/page/dom.js";
import { plural } from "/page/format.js";

const MOST = 20;
const input = byId("user");
const list = byId("users");
let options = [];
let active = -1;
let chosen = "";
let asking = null;

// `choose(user_id)` is called with who was chosen, `failed(error)` when the search is answered with an error.
export function initCombobox(choose, failed, announce) {
  const search = async () => {
    asking?.abort();
    asking = new AbortController();
    // with the chosen one's name in it, the input asks for anybody
    const text = input.value.trim() === chosen ? "" : input.value.trim();
    try {
      const found = (await users(text, MOST, asking.signal)).users;
      show(found, text);
      announce(found.length ? plural(found.length, "user") : `No user begins with ${text}`);
    } catch (error) {
      if (error instanceof Failure) failed(error);
    }
  };
  const searchSoon = debounce(150, () => document.activeElement === input && search());

  const pick = (place) => {
    const user = options[place].user_id;
    close();
    setChosen(user);
    input.select(); // so that typing on searches for somebody else
    choose(user);
  };

  function show(found, text) {
    options = found;
    list.replaceChildren(
      ...found.map(({ user_id, events }, place) =>
        el(
          "li",
          {
            id: `user-${place}`,
            role: "option",
            "aria-selected": "false",
            onpointerdown: (event) => event.preventDefault(), // the focus stays in the input
            onclick: () => pick(place),
          },
          el("span", {}, user_id),
          el("span", { class: "quiet" }, plural(events, "event")),
        ),
      ),
    );
    if (!found.length)
      list.append(el("li", { role: "option", "aria-disabled": "true", class: "quiet" }, `No user begins with ${text}`));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(-1);
  }

  function mark(place) {
    active = place;
    [...list.children].forEach((option, at) => {
      option.setAttribute("aria-selected", String(at === place));
      if (at === place) option.scrollIntoView({ block: "nearest" });
    });
    if (place < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `user-${place}`);
  }

  function close() {
    asking?.abort();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  const keys = {
    ArrowDown: () => (list.hidden ? search() : options.length && mark((active + 1) % options.length)),
    ArrowUp: () => (list.hidden ? search() : options.length && mark((Math.max(active, 0) - 1 + options.length) % options.length)),
    Enter: () => {
      if (list.hidden) return;
      const typed = options.findIndex((option) => option.user_id === input.value.trim());
      if (active >= 0) pick(active);
      else if (typed >= 0) pick(typed);
      else if (options.length === 1) pick(0);
    },
    Escape: () => (list.hidden ? setChosen(chosen) : close()),
  };

  input.addEventListener("input", searchSoon);
  input.addEventListener("click", () => list.hidden && search());
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => {
    close();
    setChosen(chosen);
  });
  input.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.isComposing) return;
    event.preventDefault();
    keys[event.key]();
  });
}

// Says who is chosen, without telling anybody.
export function setChosen(user) {
  chosen = user;
  input.value = user;
}
