// The state of the parts, and how fast this page is answered.

import { latency } from "/page/api.js";
import { byId, el, say } from "/page/dom.js";
import { milliseconds, whole } from "/page/format.js";

const PARTS = ["encoder", "forecaster", "fusion", "store"];

// `told` is the answer of /readyz; null when the server cannot be reached.
export function showParts(told) {
  byId("parts").replaceChildren(...PARTS.map((name) => part(name, told?.[name])));
  if (told) say(byId("version"), told.version ?? "");
}

function part(name, told) {
  const ok = Boolean(told?.ok) && !told.behind;
  const word = !told ? "unknown" : !told.ok ? "not ok" : told.behind ? "behind" : "ok";
  return el(
    "li",
    { class: ok ? "ok" : "not-ok", "data-part": name },
    el("span", { class: "lamp", "aria-hidden": "true" }, ok ? "●" : "▲"),
    el("span", {}, name),
    el("span", { class: "word" }, word),
    el("span", { class: "seq quiet" }, told?.seq === undefined ? "" : `seq ${whole(told.seq)}`),
  );
}

export function showLatency() {
  const told = latency();
  say(byId("median"), told ? milliseconds(told.median) : "–");
  say(byId("p95"), told ? milliseconds(told.p95) : "–");
}
