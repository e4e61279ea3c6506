"""The log in memory: every event seen from its user, from its item, from its category and in order of time.

Each view is a set of slabs (`start`, `size` a key) over flat arrays. A view answers "as of t" by a binary search in one slab, so
what happens at or after t cannot be read. The arrays lie in one folder of .npy files and are memory-mapped: all processes of a
machine share one copy. `LiveLog` grows the same arrays event by event.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit, vectorize
from numpy.typing import NDArray

from timerec.clock import HALF_LIVES
from timerec.counters import decayed_states
from timerec.schema import Prepared

TOP = 32  # items kept in a trending list
CHECKPOINT = 256  # events between two stored trending lists
SUMS = 4  # running sums an item: value, repeats, log repeat gap, weight
NEVER = np.int64(1) << 62


class EventLog(NamedTuple):
    """Arrays of a log of N events, U users, I items, K categories, A attribute rows with P columns, H half-lives.

    A NamedTuple, so that compiled kernels take it as it is.
    """

    half_lives: NDArray[np.float64]  # [H] seconds
    # by user, then time
    user_start: NDArray[np.int64]  # [U]
    user_size: NDArray[np.int64]  # [U]
    event_item: NDArray[np.int32]  # [N]
    event_time: NDArray[np.int64]  # [N]
    event_value: NDArray[np.float32]  # [N]
    event_weight: NDArray[np.float32]  # [N]
    event_kind: NDArray[np.int8]  # [N] place among the kinds that are told apart, -1 of all others
    event_basket: NDArray[np.int32]  # [N] number of the user's request that holds the event
    # by item, then time
    item_start: NDArray[np.int64]  # [I]
    item_size: NDArray[np.int64]  # [I]
    occurrence_user: NDArray[np.int32]  # [N]
    occurrence_rank: NDArray[np.int32]  # [N] place of the event among its user's events
    occurrence_time: NDArray[np.int64]  # [N]
    occurrence_state: NDArray[np.float32]  # [N, H] item counters after the event
    occurrence_sums: NDArray[np.float64]  # [N, SUMS] running sums after the event
    occurrence_gap: NDArray[np.float32]  # [N] log1p of seconds since the user's previous event with the item, -1: the first
    occurrence_visits: NDArray[np.float32]  # [N] and of requests since
    # by category, then time
    item_category: NDArray[np.int32]  # [I]
    category_start: NDArray[np.int64]  # [K]
    category_size: NDArray[np.int64]  # [K]
    category_time: NDArray[np.int64]  # [N]
    category_state: NDArray[np.float32]  # [N, H]
    # by time
    tape_time: NDArray[np.int64]  # [N]
    tape_occurrence: NDArray[np.int64]  # [N] place of the event in the arrays by item
    tape_item: NDArray[np.int32]  # [N]
    tape_state: NDArray[np.float32]  # [N, H] counters of everything
    tape_size: NDArray[np.int64]  # [1]
    top_item: NDArray[np.int32]  # [C, H, TOP] trending lists before every CHECKPOINT-th event, -1 = empty
    top_score: NDArray[np.float64]  # [C, H, TOP] log2 of the counter, forward-decayed to the log's origin
    # the catalogue
    listed: NDArray[np.int64]  # [I] time from which the item is on offer without any event
    attribute_start: NDArray[np.int64]  # [I]
    attribute_size: NDArray[np.int64]  # [I]
    attribute_time: NDArray[np.int64]  # [A]
    attribute_value: NDArray[np.float32]  # [A, P] as known from that time on; NaN where never known
    attribute_mean: NDArray[np.float32]  # [A, P] mean of the rows so far, this one included

    @property
    def n_users(self) -> int:
        return len(self.user_start)

    @property
    def n_items(self) -> int:
        return len(self.item_start)


def build(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    value: NDArray[np.float32],
    weight: NDArray[np.float32],
    kind: NDArray[np.int8] | None = None,
    *,
    n_users: int,
    item_category: NDArray[np.int32],
    listed: NDArray[np.int64] | None = None,
    attributes: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]] | None = None,
    half_lives: NDArray[np.float64] = HALF_LIVES,
) -> EventLog:
    """Build every view from events sorted by (user, time, item).

    Args:
        kind: int8 [N]; by default none is told apart.
        item_category: int32 [I], one category an item.
        listed: int64 [I] unix seconds; by default never.
        attributes: item int32 [A], time int64 [A], value float32 [A, P], in any order.
    """
    n_items, n_categories = len(item_category), int(item_category.max()) + 1
    user_start, user_size = _slabs(user, n_users)
    basket, gap, visits = _baskets_and_gaps(user_start, user_size, item, time, n_items)
    by_time = np.argsort(time, kind="stable")  # equal times stay in the order of users
    tape_item = item[by_time]

    place, item_start, item_size = _group(tape_item, n_items)
    by_item = by_time[place]
    occurrence_user = user[by_item]
    occurrence_rank = (by_item - user_start[occurrence_user]).astype(np.int32)
    occurrence_time = time[by_item]
    state = decayed_states(item_start, item_size, occurrence_time, weight[by_item], half_lives)
    gap = gap[by_item]
    sums = _running_sums(item_start, item_size, value[by_item], gap, weight[by_item])
    tape_occurrence = np.empty(len(time), np.int64)
    tape_occurrence[place] = np.arange(len(time))

    in_category, category_start, category_size = _group(item_category[tape_item], n_categories)
    by_category = by_time[in_category]
    category_time = time[by_category]
    category_state = decayed_states(category_start, category_size, category_time, weight[by_category], half_lives)

    tape_time = time[by_time]
    whole = np.zeros(1, np.int64), np.array([len(time)])
    tape_state = decayed_states(whole[0], whole[1], tape_time, weight[by_time], half_lives)
    top_item, top_score = _checkpoints(tape_item, tape_time, tape_occurrence, state, half_lives)
    a_start, a_size, a_time, a_value, a_mean = _attributes(attributes, n_items)
    return EventLog(
        half_lives, user_start, user_size, item, time, value, weight,
        np.full(len(item), -1, np.int8) if kind is None else kind, basket,
        item_start, item_size, occurrence_user, occurrence_rank, occurrence_time, state, sums, log_gap(gap),
        log_gap(visits[by_item]),
        item_category, category_start, category_size, category_time, category_state,
        tape_time, tape_occurrence, tape_item, tape_state, np.array([len(time)]), top_item, top_score,
        np.full(n_items, NEVER) if listed is None else listed, a_start, a_size, a_time, a_value, a_mean,
    )  # fmt: skip


def write_log(prepared: Path) -> None:
    """Build the log of a prepared directory and store its arrays under `log/`."""
    shards = sorted((prepared / Prepared.EVENTS).glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(shard) for shard in shards]).combine_chunks()
    columns = {name: table[name].to_numpy() for name in (Prepared.USER, Prepared.ITEM, Prepared.TIME)}
    items = pq.read_table(prepared / Prepared.ITEMS, columns=[Prepared.CATEGORY_INDEX, "listed_at"])
    manifest = json.loads((prepared / Prepared.MANIFEST).read_text())
    attributes = None
    if (prepared / Prepared.ATTRIBUTES).exists():
        rows = pq.read_table(prepared / Prepared.ATTRIBUTES)
        names = [name for name in rows.column_names if name not in (Prepared.ITEM, Prepared.TIME)]
        value = np.column_stack([rows[name].to_numpy().astype(np.float32) for name in names])
        attributes = (rows[Prepared.ITEM].to_numpy(), rows[Prepared.TIME].to_numpy(), value)
    log = build(
        columns[Prepared.USER],
        columns[Prepared.ITEM],
        columns[Prepared.TIME],
        table[Prepared.VALUE].to_numpy(),
        table[Prepared.WEIGHT].to_numpy(),
        table[Prepared.KIND].to_numpy(),
        n_users=manifest["n_users"],
        item_category=items[Prepared.CATEGORY_INDEX].to_numpy(),
        listed=items["listed_at"].to_numpy(),
        attributes=attributes,
    )
    save(log, prepared / Prepared.LOG)


def save(log: EventLog, folder: Path) -> None:
    """Store each array as `<field>.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in log._asdict().items():
        np.save(folder / f"{name}.npy", array)


def open_log(folder: Path) -> EventLog:
    """Map a stored log: copy-on-write, so that the files can never be changed through it."""
    return EventLog(*(np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in EventLog._fields))


def let_go(log: EventLog) -> None:
    """Give back the memory of a mapped log that was read through: what is read again comes from its files.

    Nothing may have been written to its arrays, that would be lost. Arrays that are not mapped stay as they are.
    """
    for array in log:
        owner: object = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, mmap.mmap):
            owner.madvise(mmap.MADV_DONTNEED)


def _slabs(keys: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and size of each key's run in sorted `keys`."""
    size = np.bincount(keys, minlength=n).astype(np.int64)
    return np.cumsum(size) - size, size


@njit(cache=True)
def _group(keys, n):
    """Stable counting sort: places of the events grouped by key, and each key's slab."""
    size = np.zeros(n, np.int64)
    for key in keys:
        size[key] += 1
    start = np.zeros(n, np.int64)
    for key in range(1, n):
        start[key] = start[key - 1] + size[key - 1]
    filled = start.copy()
    places = np.empty(len(keys), np.int64)
    for j in range(len(keys)):
        places[filled[keys[j]]] = j
        filled[keys[j]] += 1
    return places, start, size


@njit(cache=True)
def _baskets_and_gaps(start, size, item, time, n_items):
    """Basket number of each event, and seconds and baskets since the user's previous event with the item (-1: the first)."""
    basket = np.zeros(len(item), np.int32)
    gap, visits = np.full(len(item), -1, np.int64), np.full(len(item), -1, np.int64)
    last_user = np.full(n_items, -1, np.int64)
    last_time, last_basket = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64)
    for u in range(len(start)):
        for j in range(start[u], start[u] + size[u]):
            if j > start[u]:
                basket[j] = basket[j - 1] + (1 if time[j] != time[j - 1] else 0)
            if last_user[item[j]] == u:
                gap[j] = time[j] - last_time[item[j]]
                visits[j] = basket[j] - last_basket[item[j]]
            last_user[item[j]] = u
            last_time[item[j]] = time[j]
            last_basket[item[j]] = basket[j]
    return basket, gap, visits


@vectorize(cache=True)
def log_gap(gap):
    """log1p of a repeat gap; -1 stays -1, which marks a first event."""
    return np.float32(np.log1p(gap)) if gap >= 0 else np.float32(-1.0)


@njit(cache=True)
def add_sums(previous, value, gap, weight, out):
    """Write into `out` the running sums one event after `previous`."""
    out[0] = previous[0] + value
    out[1] = previous[1] + (1.0 if gap >= 0 else 0.0)
    out[2] = previous[2] + (np.log1p(gap) if gap >= 0 else 0.0)
    out[3] = previous[3] + weight


@njit(cache=True)
def _running_sums(start, size, value, gap, weight):
    sums = np.zeros((len(value), SUMS), np.float64)
    nothing = np.zeros(SUMS, np.float64)
    for key in range(len(start)):
        for j in range(start[key], start[key] + size[key]):
            add_sums(nothing if j == start[key] else sums[j - 1], value[j], gap[j], weight[j], sums[j])
    return sums


@njit(cache=True)
def push(items, scores, item, score):
    """Raise `item` to `score` in a descending list; the list stays exact because scores never fall."""
    last = len(items) - 1
    place = -1
    for k in range(last + 1):
        if items[k] == item:
            place = k
            break
    if place < 0:
        if score <= scores[last]:
            return
        place = last
    while place > 0 and scores[place - 1] < score:
        items[place] = items[place - 1]
        scores[place] = scores[place - 1]
        place -= 1
    items[place] = item
    scores[place] = score


@njit(cache=True)
def push_event(items, scores, item, time, state, half_lives):
    """Enter an event into the trending lists [H, TOP]: log2(c 2^(t / H)) orders items alike at every later time."""
    for h in range(len(half_lives)):
        push(items[h], scores[h], item, np.log2(state[h]) + time / half_lives[h])


@njit(cache=True)
def _checkpoints(tape_item, tape_time, tape_occurrence, state, half_lives):
    n, width = len(tape_item), len(half_lives)
    count = n // CHECKPOINT + 1
    stored_items = np.full((count, width, TOP), -1, np.int32)
    stored_scores = np.full((count, width, TOP), -np.inf, np.float64)
    items = np.full((width, TOP), -1, np.int32)
    scores = np.full((width, TOP), -np.inf, np.float64)
    for j in range(n + 1):
        if j % CHECKPOINT == 0:
            stored_items[j // CHECKPOINT] = items
            stored_scores[j // CHECKPOINT] = scores
        if j < n:
            push_event(items, scores, tape_item[j], tape_time[j], state[tape_occurrence[j]], half_lives)
    return stored_items, stored_scores


def _attributes(
    attributes: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]] | None, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    if attributes is None:
        none = np.zeros(n_items, np.int64)
        return none, none.copy(), np.zeros(0, np.int64), np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
    item, time, value = attributes
    order = np.lexsort((time, item))
    start, size = _slabs(item[order], n_items)
    filled, mean = _fill_forward(start, size, value[order])
    return start, size, time[order].astype(np.int64), filled, mean


@njit(cache=True)
def _fill_forward(start, size, value):
    filled = value.copy()
    mean = np.full(value.shape, np.nan, np.float32)
    for key in range(len(start)):
        for column in range(value.shape[1]):
            total, count = 0.0, 0
            for j in range(start[key], start[key] + size[key]):
                if np.isnan(value[j, column]):
                    if j > start[key]:
                        filled[j, column] = filled[j - 1, column]
                else:
                    total += value[j, column]
                    count += 1
                if count:
                    mean[j, column] = total / count
    return filled, mean
