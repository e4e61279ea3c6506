"""Candidates of a request and the features of each, as of t: the one kernel that training, batch and online answers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.candidates import arrivals, context, fellows, habit, momentum, neighbours, order, similar, text
from timerec.candidates.arrivals import Arrivals
from timerec.candidates.memory import B0, COUNT, Memory, collect, forget, memory
from timerec.candidates.shared import MOMENTS, SHARES, Shared, move_to, row_of, shared
from timerec.candidates.similar import Similar
from timerec.candidates.without import Offer
from timerec.counters import before
from timerec.eventlog import TOP, EventLog
from timerec.kernel import borrowing

OWN = 150  # the user's own items
TREND = 16  # by each half-life
SCORES = (0, 1, 2, 4, 5)  # columns of the scores that propose candidates
ORDERED = (0, 4)  # of which these depend on order and recency
COLUMNS = 6  # neighbour scores, then similarity votes
# widths of the blocks of a feature row, in their order
NEIGHBOURS, VOTES, FELLOWS, TEXTS = len(neighbours.FEATURES), len(similar.FEATURES), len(fellows.FEATURES), len(text.FEATURES)
HABITS, GROUPS = len(habit.ITEM_FEATURES), len(habit.CATEGORY_FEATURES)
TOUCHED = 60_000  # items with a neighbour score that are looked at


class ForecastTable(NamedTuple):
    """Forecast features of every item at every step; a row holds what is known at the end of its step."""

    offsets: NDArray[np.int64]  # [I + 1]
    first_step: NDArray[np.int32]  # [I]
    values: NDArray[np.float32]  # [rows, F]
    origin: int  # unix seconds
    step: int  # seconds

    def writable(self) -> ForecastTable:
        """The same with copies of read-only arrays, for which kernels would be compiled once more."""
        return ForecastTable(_writable(self.offsets), _writable(self.first_step), _writable(self.values), self.origin, self.step)


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.flags.writeable else array.copy()


class Sources(NamedTuple):
    """Everything that a request is answered from."""

    log: EventLog
    forecast: ForecastTable
    similar: Similar
    vectors: NDArray[np.float32]  # [I, D] reduced text vectors, unit rows or zero
    family: NDArray[np.int32]  # [I] items of like texts have one number, below I
    arrivals: Arrivals
    repeats: bool
    offer: Offer = Offer()


class Workspace(NamedTuple):
    """Scratch memory of one thread for one log; clean between requests, but for what they share."""

    items: Memory
    categories: Memory
    families: Memory
    candidate_slot: NDArray[np.int32]
    identity: NDArray[np.int32]
    near: NDArray[np.float32]
    touched: NDArray[np.int32]
    fellow_near: NDArray[np.float32]  # [U]
    fellow_ahead: NDArray[np.float32]  # [U]
    fellows: NDArray[np.int32]  # those met
    shared: Shared  # with other requests of the same moment


@dataclass(frozen=True)
class Layout:
    """Names of the feature columns and the group each belongs to."""

    names: list[str]
    groups: dict[str, slice]
    context: list[str]

    @property
    def width(self) -> int:
        return len(self.names)


def layout(attributes: list[str], forecasts: list[str], kinds: Sequence[str]) -> Layout:
    """Columns of the pair features for a log with these attribute and forecast columns and kinds of events told apart."""
    taste = neighbours.FEATURES + similar.FEATURES + fellows.FEATURES + text.FEATURES
    habits = habit.ITEM_FEATURES + habit.CATEGORY_FEATURES + habit.FAMILY_FEATURES
    habits += [f"kind_{name}_{part}" for name in kinds for part in habit.KIND_FEATURES]
    levels = [f"{name}_{part}" for name in attributes for part in ("level", "change", "known")]
    moment = momentum.ITEM_FEATURES + momentum.CATEGORY_FEATURES + levels + [f"forecast_{name}" for name in forecasts]
    first, second = len(taste), len(taste) + len(habits)
    groups = {
        "taste": slice(0, first),
        "habit": slice(first, second),
        "momentum": slice(second, second + len(moment)),
    }
    return Layout(taste + habits + moment, groups, list(context.FEATURES))


def workspace(log: EventLog, kinds: int, room: tuple[int, int, int] | None = None) -> Workspace:
    """Scratch memory for requests on `log`, of whose events `kinds` kinds are told apart.

    Args:
        room: users, items and events of the longest history that it shall suffice for, and one category more than `log` has;
            by default what `log` has.
    """
    n_users, n_items, longest = room or (log.n_users, log.n_items, int(log.user_size.max(initial=0)))
    n_categories = len(log.category_start) + (room is not None)
    items, categories = min(longest, n_items) + 1, min(longest, n_categories) + 1
    width = len(log.half_lives)
    return Workspace(
        items=memory(n_items, items, width, kinds),
        categories=memory(n_categories, categories, width),
        families=memory(n_items, items, width),  # there are no more than items
        candidate_slot=np.full(n_items, -1, np.int32),
        identity=np.arange(n_items, dtype=np.int32),
        near=np.zeros((n_items, COLUMNS), np.float32),
        touched=np.zeros(min(n_items, TOUCHED), np.int32),
        fellow_near=np.zeros(n_users, np.float32),
        fellow_ahead=np.zeros(n_users, np.float32),
        fellows=np.zeros(min(n_users, fellows.SOURCES * fellows.TAKERS), np.int32),
        shared=shared(log, n_items, n_categories),
    )


def width(sources: Sources, ws: Workspace) -> int:
    """Feature columns that `request` fills."""
    told, attributes = ws.items.kind_count.shape[1], sources.log.attribute_value.shape[1]
    fixed = NEIGHBOURS + VOTES + FELLOWS + TEXTS + HABITS + 2 * GROUPS + MOMENTS + SHARES
    return fixed + 3 * (told + attributes) + sources.forecast.values.shape[1]


@borrowing
def _best(values, n, k, out):
    """Places of the k largest of values[:n], in descending order; returns how many."""
    count = 0
    for j in range(n):
        if count == k and values[j] <= values[out[count - 1]]:
            continue
        place = count if count < k else k - 1
        if count < k:
            count += 1
        while place > 0 and values[out[place - 1]] < values[j]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = j
    return count


@borrowing
def _add(item, slot, items, count):
    if slot[item] < 0 and count < len(items):
        slot[item] = count
        items[count] = item
        return count + 1
    return count


@njit(cache=True)
def _choose(sources, ws, own, touched, t, recent, items):
    """Fill `items` with the standard candidates; returns their number. Own items are left out where nothing repeats."""
    slot = ws.candidate_slot
    count = 0
    near = sources.offer.near
    order = np.empty(max(OWN, near), np.int64)
    if sources.repeats and sources.offer.own:
        score = np.empty(own)
        for j in range(own):
            score[j] = ws.items.decays[j, 6] + 0.3 * ws.items.decays[j, 7] + 0.3 * ws.items.stats[j, B0 + 2]
            if sources.offer.timeless:
                score[j] = ws.items.stats[j, COUNT]
        for k in range(_best(score, own, OWN, order)):
            count = _add(ws.items.names[order[k]], slot, items, count)
    score = np.empty(touched)
    for column in SCORES:
        if sources.offer.timeless and column in ORDERED:
            continue
        for j in range(touched):
            item = ws.touched[j]
            allowed = sources.repeats or ws.items.slot[item] < 0
            score[j] = ws.near[item, column] if allowed else -1.0
        for k in range(_best(score, touched, near, order)):
            if score[order[k]] > 0:
                count = _add(ws.touched[order[k]], slot, items, count)
    for h in range(sources.offer.trend_from, len(sources.log.half_lives)):
        taken = 0
        for k in range(TOP):
            item = ws.shared.top[h, k]
            if item < 0 or (taken == TREND and not sources.offer.timeless):
                break
            if sources.repeats or ws.items.slot[item] < 0:
                count = _add(item, slot, items, count)
                taken += 1
    if sources.offer.arrivals:
        lately = np.empty(arrivals.LATEST + arrivals.NEAREST, np.int32)
        for k in range(arrivals.propose(sources.arrivals, sources.vectors, recent, t, lately, np.empty(arrivals.NEAREST))):
            if sources.repeats or ws.items.slot[lately[k]] < 0:
                count = _add(lately[k], slot, items, count)
    return count


@borrowing
def _fill_rows(sources, ws, user, begin, known, t, items, recent, centre, baskets, step, features):
    """Fill one row of features for each of `items`; the others are what `request` found out of the user."""
    log = sources.log
    for c, item in enumerate(items):
        row = features[c]
        same = row_of(log, item, ws.shared)
        n, gap = ws.shared.known[same], ws.shared.gap[same]
        a = 0
        neighbours.features(ws.near[item], np.log1p(n), row[a : a + NEIGHBOURS])
        a += NEIGHBOURS
        row[a] = ws.near[item, 4]
        row[a + 1] = ws.near[item, 5]
        a += VOTES
        fellows.features(log, item, n, user, t, ws.fellow_near, ws.fellow_ahead, row[a : a + FELLOWS], step)
        a += FELLOWS
        text.features(log, sources.vectors, item, begin, known, recent, centre, row[a : a + TEXTS], step)
        a += TEXTS
        mine = ws.items.slot[item]
        if mine >= 0:
            decays, stats = ws.items.decays[mine], ws.items.stats[mine]
            habit.item_features(log, item, n, decays, stats, t, baskets, gap, row[a : a + HABITS])
        else:
            habit.no_item_features(len(log.half_lives), baskets, gap, row[a : a + HABITS])
        a += HABITS
        habit.group_features(ws.categories, ws.categories.slot[log.item_category[item]], t, known, baskets, row[a : a + GROUPS])
        a += GROUPS
        habit.group_features(ws.families, ws.families.slot[sources.family[item]], t, known, baskets, row[a : a + GROUPS])
        a += GROUPS
        columns = 3 * ws.items.kind_count.shape[1]
        habit.kind_features(ws.items, mine, t, row[a : a + columns])
        a += columns
        columns = ws.shared.rows.shape[1]
        for f in range(columns):
            row[a + f] = ws.shared.rows[same, f]
        a += columns
        momentum.forecast_features(sources.forecast, item, t, row[a:])


@borrowing
def _best_of(features, best):
    """The largest value of each column, -inf where there is no row."""
    best[:] = -np.inf
    for c in range(len(features)):
        for f in range(len(best)):
            best[f] = max(best[f], features[c, f])


@njit(cache=True)
def request(sources, ws, user, t, extra, items, features, best, request_context):
    """Candidates and features of one request.

    Args:
        user: index, or -1 for a stranger.
        t: unix seconds; only what happened strictly before counts.
        extra: int32 [E] further items to score (pairs asked for, truth and negatives in training).
        items: int32 [C] receives the standard candidates, then the extras that are not among them.
        features: float32 [C, F]; request_context: float32 [G].
        best: float32 [F] receives the largest value of each feature among the standard candidates, -inf where there are none.

    Returns:
        (number of standard candidates, number of all).
    """
    log = sources.log
    begin, known = np.int64(0), np.int64(0)
    if user >= 0:
        begin = log.user_start[user]
        known = before(log.event_time, begin, log.user_size[user], t)
    own = collect(log, ws.identity, begin, known, t, ws.items)
    categories = collect(log, log.item_category, begin, known, t, ws.categories)
    families = collect(log, sources.family, begin, known, t, ws.families)
    step = order.stride(known) if sources.offer.timeless else 0
    places = np.empty(max(neighbours.SOURCES, fellows.SOURCES), np.int64)
    history = places[: order.sources(log, begin, known, own, step, places)]
    newest_basket = log.event_basket[begin + known - 1] if known else np.int32(-1)
    touched = neighbours.scan(log, user, history[: neighbours.SOURCES], newest_basket, t, ws.near, ws.touched, step)
    touched = similar.vote(log, sources.similar, begin, known, t, ws.near, 4, ws.touched, touched, step)
    met = fellows.scan(log, user, history[: fellows.SOURCES], t, ws.fellow_near, ws.fellow_ahead, ws.fellows, step)
    depth = sources.vectors.shape[1]
    recent, centre = np.empty(depth, np.float32), np.empty(depth, np.float32)
    text.profile(log, sources.vectors, begin, known, recent, centre, step)
    if not sources.offer.text:
        recent[:] = 0.0
    move_to(log, t, ws.shared)
    standard = _choose(sources, ws, own, touched, t, recent, items)
    count = standard
    for j in range(len(extra)):
        count = _add(extra[j], ws.candidate_slot, items, count)

    baskets = float(newest_basket + 1)
    context.features(log, begin, known, own, t, request_context, step)
    _fill_rows(sources, ws, user, begin, known, t, items[:count], recent, centre, baskets, step, features)
    _best_of(features[:standard], best)
    forget(ws.items, own)
    forget(ws.categories, categories)
    forget(ws.families, families)
    fellows.forget(ws.fellow_near, ws.fellow_ahead, ws.fellows, met)
    for j in range(touched):
        ws.near[ws.touched[j]] = 0.0
    for c in range(count):
        ws.candidate_slot[items[c]] = -1
    return standard, count
