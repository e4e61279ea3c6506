"""Features of what a user did before with an item, with its category and with its family, as of t."""

from __future__ import annotations

import numpy as np

from timerec.candidates import due
from timerec.candidates.memory import (
    B0,
    BASKET_HALF_LIVES,
    BASKETS,
    COUNT,
    FIRST,
    FIRST_BASKET,
    LAST,
    LAST_BASKET,
    LAST_VALUE,
    SAME_HOUR,
    SAME_WEEKDAY,
    SUM_VALUE,
)
from timerec.clock import DAY, HOUR
from timerec.kernel import borrowing

FLOOR = 0.02  # added before a logarithm: far below one event
LONG_AGO = np.log1p(10.0 * 365 * DAY)  # log seconds where something never happened
USUAL_GAP = 30.0 * DAY  # between two visits to a category or family of which nothing is known

_GROUP = [*(f"decay_{h}" for h in (3, 4, 5, 6)), "count", "since", "share", "baskets_since", "due", *due.OWN_FEATURES]
ITEM_FEATURES = (
    [f"item_decay_{h}" for h in range(8)]
    + [f"item_baskets_{h:g}" for h in BASKET_HALF_LIVES]
    + ["item_has", "item_count", "item_since", "item_gap", "item_due", "item_due_all", "item_baskets_since"]
    + ["item_last_value", "item_mean_value", "item_rate", "item_weekday", "item_hour"]
    + [f"item_{name}" for name in due.OWN_FEATURES]
    + due.ITEM_FEATURES
)
CATEGORY_FEATURES = [f"category_{name}" for name in _GROUP]
FAMILY_FEATURES = [f"family_{name}" for name in _GROUP]
KIND_FEATURES = ["last", "count", "since"]  # for each kind of event that is told apart


@borrowing
def item_features(log, item, known, decays, stats, t, baskets, item_gap, out):
    """Fill the habit features of one of the user's own items.

    Args:
        known: events of the item strictly before t, anybody's.
        decays: float64 [H]; stats: float64 [memory.WIDTH].
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
    k += 12
    due.own(stats, t, item_gap, out[k : k + due.OWN])
    due.everybody(log, item, known, np.log1p(since), np.log1p(baskets - stats[LAST_BASKET]), out[k + due.OWN :])


@borrowing
def no_item_features(width, baskets, item_gap, out):
    """The same columns for an item that the user never had."""
    floor = np.log(FLOOR)
    k = width + len(BASKET_HALF_LIVES)
    out[:k] = floor
    out[k:] = 0.0
    out[k + 2] = LONG_AGO
    out[k + 3] = np.log1p(item_gap)
    out[k + 6] = np.log1p(baskets)
    out[k + 9] = np.log(0.1 / (baskets + 2.0))
    out[k + 10] = np.log(0.3 / 2.1)
    out[k + 11] = np.log(0.4 / 2.0)


@borrowing
def kind_features(memory, row, t, out):
    """Fill the features of the user's events of each kind with one item: of row `row` of the memory, or of none where negative.

    Args:
        out: float [3 M]: whether the last event was of the kind, log of how many there are, log seconds since the last one.
    """
    for kind in range(memory.kind_count.shape[1]):
        count = memory.kind_count[row, kind] if row >= 0 else 0.0
        out[3 * kind] = 1.0 if row >= 0 and memory.newest_kind[row] == kind else 0.0
        out[3 * kind + 1] = np.log1p(count)
        out[3 * kind + 2] = np.log1p(t - memory.kind_last[row, kind]) if count > 0 else LONG_AGO


@borrowing
def group_features(memory, row, t, events, baskets, out):
    """Fill the features of a category or a family of items: of row `row` of the memory, or of none where it is negative."""
    if row < 0:
        out[:4] = np.log(FLOOR)
        out[4:] = 0.0
        out[5] = LONG_AGO
        out[6] = np.log(FLOOR / (events + 1.0))
        out[7] = np.log1p(baskets)
        return
    stats = memory.stats[row]
    for h in range(4):
        out[h] = np.log(memory.decays[row, 3 + h] + FLOOR)
    since = t - stats[LAST]
    gap = (stats[LAST] - stats[FIRST] + USUAL_GAP) / stats[BASKETS]
    out[4] = np.log1p(stats[COUNT])
    out[5] = np.log1p(since)
    out[6] = np.log((stats[COUNT] + FLOOR) / (events + 1.0))
    out[7] = np.log1p(baskets - 1 - stats[LAST_BASKET])
    out[8] = np.log((since + HOUR) / (gap + HOUR))
    due.own(stats, t, USUAL_GAP, out[9:])
