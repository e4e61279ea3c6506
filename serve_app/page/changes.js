// What is different between two lists of recommendations.

// {moves: Map of item_id to {kind: "new" | "up" | "down" | "same", by}, gone: items that are no longer there}
export function compare(before, after) {
  const was = new Map(before.map((item) => [item.item_id, item.rank]));
  const is = new Set(after.map((item) => item.item_id));
  const moves = new Map(after.map((item) => [item.item_id, move(was.get(item.item_id), item.rank)]));
  return { moves, gone: before.filter((item) => !is.has(item.item_id)) };
}

function move(was, is) {
  if (was === undefined) return { kind: "new", by: 0 };
  return { kind: was > is ? "up" : was < is ? "down" : "same", by: Math.abs(was - is) };
}

export function badge({ kind, by }) {
  return { new: "new", up: `↑ ${by}`, down: `↓ ${by}`, same: "" }[kind];
}

export function badgeInWords({ kind, by }) {
  return { new: "new", up: `up ${by}`, down: `down ${by}`, same: "" }[kind];
}

// "2 new, 1 moved up, 1 gone" or "the list is as before".
export function summary({ moves, gone }) {
  const count = (kind) => [...moves.values()].filter((one) => one.kind === kind).length;
  const counted = [
    [count("new"), "new"],
    [count("up"), "moved up"],
    [count("down"), "moved down"],
    [gone.length, "gone"],
  ];
  const told = counted.filter(([number]) => number).map(([number, what]) => `${number} ${what}`);
  return told.length ? told.join(", ") : "the list is as before";
}

export const goneInWords = (item) => `${item.title || item.item_id} (was ${item.rank})`;
