"""What a user did before: per item and per category, over the whole history, as of t."""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.candidates import due
from timerec.clock import DAY, HOUR, WEEK

FLOOR = 0.02  # added before a logarithm: far below one event
BASKET_HALF_LIVES = np.array([1.0, 3.0, 10.0, 30.0])  # people repeat by visits as well as by days
LONG_AGO = np.log1p(10.0 * 365 * DAY)  # log seconds where something never happened

# columns of the statistics of one of the user's items (or categories), behind the H counters
COUNT, FIRST, LAST, FIRST_BASKET, LAST_BASKET, LAST_VALUE, SUM_VALUE, SAME_WEEKDAY, SAME_HOUR, BASKETS, SUM_GAP, SUM_SQUARE, B0 = range(13)
WIDTH = B0 + len(BASKET_HALF_LIVES)
DUE = len(due.FEATURES)

ITEM_FEATURES = (
    [f"item_decay_{h}" for h in range(8)]
    + [f"item_baskets_{h:g}" for h in BASKET_HALF_LIVES]
    + ["item_has", "item_count", "item_since", "item_gap", "item_due", "item_due_all", "item_baskets_since"]
    + ["item_last_value", "item_mean_value", "item_rate", "item_weekday", "item_hour", "item_due_own", "item_spread"]
    + due.FEATURES
)
CATEGORY_FEATURES = [
    *(f"category_decay_{h}" for h in (3, 4, 5, 6)),
    "category_count", "category_since", "category_share", "category_baskets_since", "category_due",
]  # fmt: skip


@njit(cache=True, fastmath=False)
def collect(log, keys, begin, known, t, slot, names, decays, stats):
    """Gather the history's statistics by key: the item itself, or its category.

    Args:
        keys: int32 [I], key of each item (the identity or `item_category`).
        begin, known: the user's slab and its number of events strictly before t.
        slot: int32 [keys] scratch, -1 everywhere; on return it maps the keys met to rows.
        names: int32 [D] receives the keys met; decays: float64 [D, H]; stats: float64 [D, WIDTH].

    Returns:
        number of distinct keys.
    """
    half_lives = log.half_lives
    width = len(half_lives)
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
            names[row] = key
            decays[row, :] = 0.0
            stats[row, :] = 0.0
            stats[row, FIRST] = time
            stats[row, FIRST_BASKET] = basket
            stats[row, LAST_BASKET] = -1
        elif time > stats[row, LAST]:
            gap = np.log1p(time - stats[row, LAST])
            stats[row, SUM_GAP] += gap
            stats[row, SUM_SQUARE] += gap * gap
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
        stats[row, SAME_WEEKDAY] += same_weekday
        stats[row, SAME_HOUR] += same_hour
    return found


@njit(cache=True)
def item_features(log, item, known, decays, stats, t, baskets, item_gap, out):
    """Fill the habit features of one of the user's own items.

    Args:
        known: events of the item strictly before t, anybody's.
        decays: float64 [H]; stats: float64 [WIDTH].
        baskets: number of the user's requests before t.
        item_gap: usual seconds between two takes of the item, over everybody.
    """
    width = len(decays)
    for h in range(width):
        out[h] = np.log(decays[h] + FLOOR)
    k = width
    for h in range(len(BASKET_HALF_LIVES)):
        out[k + h] = np.log(stats[B0 + h] + FLOOR)
    k += len(BASKET_HALF_LIVES)
    since = t - stats[LAST]
    times = stats[BASKETS]
    # one purchase only: the item's usual gap; more: the user's own, drawn a little towards the item's
    gap = (stats[LAST] - stats[FIRST] + item_gap) / times
    out[k] = 1.0
    out[k + 1] = np.log1p(stats[COUNT])
    out[k + 2] = np.log1p(since)
    out[k + 3] = np.log1p(gap)
    out[k + 4] = np.log((since + HOUR) / (gap + HOUR))
    out[k + 5] = np.log((since + HOUR) / (item_gap + HOUR))
    out[k + 6] = np.log1p(baskets - 1 - stats[LAST_BASKET])
    out[k + 7] = np.log1p(max(stats[LAST_VALUE], 0.0))
    out[k + 8] = np.log1p(max(stats[SUM_VALUE], 0.0) / stats[COUNT])
    out[k + 9] = np.log((times + 0.1) / (baskets - stats[FIRST_BASKET] + 2.0))
    out[k + 10] = np.log((stats[SAME_WEEKDAY] + 0.3) / (stats[COUNT] + 2.1))
    out[k + 11] = np.log((stats[SAME_HOUR] + 0.4) / (stats[COUNT] + 2.0))
    # the user's own gaps in logarithms, drawn to the item's usual one with a deviation of one
    usual, repeats = np.log1p(item_gap), times - 1.0
    mean = (stats[SUM_GAP] + usual) / (repeats + 1.0)
    square = (stats[SUM_SQUARE] + usual * usual) / (repeats + 1.0) - mean * mean
    spread = np.sqrt((max(square, 0.0) * (repeats + 1.0) + 2.0) / (repeats + 3.0))
    out[k + 12] = (np.log1p(since) - mean) / spread
    out[k + 13] = np.log(spread)
    due.features(log, item, known, np.log1p(since), out[k + 14 : k + 14 + DUE])


@njit(cache=True)
def no_item_features(width, baskets, item_gap, out):
    """The same columns for an item that the user never had."""
    floor = np.log(FLOOR)
    k = width + len(BASKET_HALF_LIVES)
    for h in range(k):
        out[h] = floor
    out[k] = 0.0
    out[k + 1] = 0.0
    out[k + 2] = LONG_AGO
    out[k + 3] = np.log1p(item_gap)
    out[k + 4] = 0.0
    out[k + 5] = 0.0
    out[k + 6] = np.log1p(baskets)
    out[k + 7] = 0.0
    out[k + 8] = 0.0
    out[k + 9] = np.log(0.1 / (baskets + 2.0))
    out[k + 10] = np.log(0.3 / 2.1)
    out[k + 11] = np.log(0.4 / 2.0)
    out[k + 12 : k + 14 + DUE] = 0.0


@njit(cache=True)
def category_features(decays, stats, t, events, baskets, out):
    """Fill the features of one of the user's categories."""
    for h in range(4):
        out[h] = np.log(decays[3 + h] + FLOOR)
    since = t - stats[LAST]
    gap = (stats[LAST] - stats[FIRST] + 30.0 * DAY) / stats[BASKETS]
    out[4] = np.log1p(stats[COUNT])
    out[5] = np.log1p(since)
    out[6] = np.log((stats[COUNT] + FLOOR) / (events + 1.0))
    out[7] = np.log1p(baskets - 1 - stats[LAST_BASKET])
    out[8] = np.log((since + HOUR) / (gap + HOUR))


@njit(cache=True)
def no_category_features(events, baskets, out):
    """The same columns for a category that the user never touched."""
    for h in range(4):
        out[h] = np.log(FLOOR)
    out[4] = 0.0
    out[5] = LONG_AGO
    out[6] = np.log(FLOOR / (events + 1.0))
    out[7] = np.log1p(baskets)
    out[8] = 0.0
