"""What a user did before t, gathered by item, by category or by family of items: the raw statistics behind the habit features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR, WEEK
from timerec.kernel import borrowing

BASKET_HALF_LIVES = np.array([1.0, 3.0, 10.0, 30.0])  # people repeat by visits as well as by days
NEAR = 0.5  # natural logarithm of seconds: within so much a gap is near another one

# columns of the statistics of one key, behind its decayed counters
COUNT, FIRST, LAST, FIRST_BASKET, LAST_BASKET, LAST_VALUE, SUM_VALUE, SAME_WEEKDAY, SAME_HOUR, BASKETS = range(10)
SUM_GAP, SUM_SQUARE = 10, 11  # of log1p of the seconds between its visits
GAPS_NEAR, GAPS_LATER = 12, 13  # of these, near to the time since its last visit, each by how near; and not over before
B0 = 14
WIDTH = B0 + len(BASKET_HALF_LIVES)


class Memory(NamedTuple):
    """Statistics of the keys that a user met; a NamedTuple, so that compiled kernels take it as it is.

    Memory is clean where every slot is -1: `collect` fills it, `forget` cleans it.
    """

    slot: NDArray[np.int32]  # [keys] row of a key met, -1 of all others
    names: NDArray[np.int32]  # [D] keys met
    decays: NDArray[np.float64]  # [D, H] decayed counters
    stats: NDArray[np.float64]  # [D, WIDTH]
    kind_count: NDArray[np.float64]  # [D, M] events of each kind that is told apart
    kind_last: NDArray[np.float64]  # [D, M] unix seconds of the last one, where there is one
    newest_kind: NDArray[np.int8]  # [D] kind of the last event
    before: NDArray[np.int64]  # [D] scratch


def memory(keys: int, most: int, half_lives: int, kinds: int = 0) -> Memory:
    """Clean memory for `keys` keys, of which a user meets `most`, and of `kinds` kinds of events."""
    return Memory(
        np.full(keys, -1, np.int32), np.zeros(most, np.int32), np.zeros((most, half_lives)), np.zeros((most, WIDTH)),
        np.zeros((most, kinds)), np.zeros((most, kinds)), np.zeros(most, np.int8), np.zeros(most, np.int64),
    )  # fmt: skip


@borrowing
def forget(memory, found):
    """Clean the memory of the `found` keys met."""
    for row in range(found):
        memory.slot[memory.names[row]] = -1


@njit(cache=True, fastmath=False)
def collect(log, keys, begin, known, t, memory):
    """Gather the statistics of a history by key.

    Args:
        keys: int32 [I], key of each item: the item itself, its category or its family.
        begin, known: the user's slab and its number of events strictly before t.
        memory: clean; receives the keys in the order in which they were first met.

    Returns:
        number of distinct keys.
    """
    half_lives, slot, decays, stats = log.half_lives, memory.slot, memory.decays, memory.stats
    width, kinds = len(half_lives), memory.kind_count.shape[1]
    found = 0
    if known == 0:
        return 0
    last_basket = log.event_basket[begin + known - 1]
    weekday, hour = (t + 3 * DAY) % WEEK // DAY, t % DAY / HOUR
    decay = np.zeros(width)
    basket_decay = np.zeros(len(BASKET_HALF_LIVES))
    previous_time = np.int64(-1)
    same_weekday, same_hour = 0.0, 0.0
    for j in range(begin, begin + known):
        time = log.event_time[j]
        basket = log.event_basket[j]
        if time != previous_time:  # one set of exponentials a basket
            for h in range(width):
                decay[h] = np.exp2(-(t - time) / half_lives[h])
            for h in range(len(BASKET_HALF_LIVES)):
                basket_decay[h] = np.exp2(-(last_basket - basket) / BASKET_HALF_LIVES[h])
            same_weekday = 1.0 if (time + 3 * DAY) % WEEK // DAY == weekday else 0.0
            apart = abs(time % DAY / HOUR - hour)
            same_hour = 1.0 if min(apart, 24.0 - apart) <= 2.0 else 0.0
            previous_time = time
        key = keys[log.event_item[j]]
        row = slot[key]
        if row < 0:
            row = found
            found += 1
            slot[key] = row
            memory.names[row] = key
            decays[row, :] = 0.0
            stats[row, :] = 0.0
            memory.kind_count[row, :] = 0.0
            stats[row, FIRST] = time
            stats[row, FIRST_BASKET] = basket
            stats[row, LAST_BASKET] = -1
        weight = log.event_weight[j]
        for h in range(width):
            decays[row, h] += weight * decay[h]
        if stats[row, LAST_BASKET] != basket:
            for h in range(len(BASKET_HALF_LIVES)):
                stats[row, B0 + h] += basket_decay[h]
            stats[row, BASKETS] += 1.0
        stats[row, COUNT] += 1.0
        stats[row, LAST] = time
        stats[row, LAST_BASKET] = basket
        stats[row, LAST_VALUE] = log.event_value[j]
        stats[row, SUM_VALUE] += log.event_value[j]
        kind = log.event_kind[j]
        memory.newest_kind[row] = kind
        if 0 <= kind < kinds:
            memory.kind_count[row, kind] += 1.0
            memory.kind_last[row, kind] = time
        stats[row, SAME_WEEKDAY] += same_weekday
        stats[row, SAME_HOUR] += same_hour
    _gaps(log, keys, begin, known, t, memory, found)
    return found


@njit(cache=True)
def _gaps(log, keys, begin, known, t, memory, found):
    """The gaps between the visits of each key, against the time since its last one, which only the first pass has found."""
    stats, previous = memory.stats, memory.before
    previous[:found] = -1
    now = np.log1p(t - stats[:found, LAST])
    for j in range(begin, begin + known):
        row = memory.slot[keys[log.event_item[j]]]
        time = log.event_time[j]
        if time == previous[row]:
            continue
        if previous[row] >= 0:
            gap = np.log1p(time - previous[row])
            stats[row, SUM_GAP] += gap
            stats[row, SUM_SQUARE] += gap * gap
            stats[row, GAPS_NEAR] += max(0.0, 1.0 - abs(gap - now[row]) / NEAR)
            stats[row, GAPS_LATER] += 1.0 if gap > now[row] - NEAR else 0.0
        previous[row] = time
