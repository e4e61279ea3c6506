"""How usual it is to take something again after so long: a user's own gaps, and everybody's latest ones with the item."""

from __future__ import annotations

import numpy as np

from timerec.candidates.memory import BASKETS, GAPS_LATER, GAPS_NEAR, LAST, NEAR, SUM_GAP, SUM_SQUARE
from timerec.kernel import borrowing

SCAN = 400  # latest events of the item that are looked at
ENOUGH = 200  # latest repeat gaps among them that are counted
WIDE = 1.5  # the second, wider meaning of near, in natural logarithms of seconds
NEAR_VISITS = 0.5  # and that of gaps in visits
SPAN, SPAN_VISITS = 9.0, 5.0  # logarithms over which a gap of which nothing is known is spread evenly
DOUBT, OWN_DOUBT = 3.0, 2.0  # how many gaps of that kind are added

OWN_FEATURES = ["due_own", "spread", "own_usual", "own_hazard"]
ITEM_FEATURES = ["item_usual", "item_usual_wide", "item_hazard", "item_usual_visits", "item_hazard_visits"]
OWN = len(OWN_FEATURES)


@borrowing
def own(stats, t, usual, out):
    """Compare the time since the user's last visit to a key with the user's own gaps between visits to it.

    Args:
        stats: float64 [memory.WIDTH] of the key.
        usual: seconds, a gap that is added to the user's own, with two squared deviations of 1.
        out: float [4]: standard deviations of log time above the mean, log of the deviation, log density of the own gaps at this
            one against even spread, log of the share of gaps that ended now among those that did not end sooner.
    """
    now, prior, repeats = np.log1p(t - stats[LAST]), np.log1p(usual), stats[BASKETS] - 1.0
    mean = (stats[SUM_GAP] + prior) / (repeats + 1.0)
    square = stats[SUM_SQUARE] + prior * prior - (repeats + 1.0) * mean * mean
    spread = np.sqrt((square + 2.0) / (repeats + 3.0))
    out[0] = (now - mean) / spread
    out[1] = np.log(spread)
    out[2] = np.log((stats[GAPS_NEAR] * SPAN / NEAR + OWN_DOUBT) / (repeats + OWN_DOUBT))
    out[3] = np.log((stats[GAPS_NEAR] + 0.5) / (stats[GAPS_LATER] + 1.5))


@borrowing
def everybody(log, item, known, gap, visits, out):
    """Compare a gap with the latest repeat gaps of an item, `known` of whose events are strictly before t.

    Args:
        gap, visits: log1p of the seconds and of the visits since the user took it.
        out: float [5]: log density of the gaps at this one against even spread, by either width, and log of the share that ends
            now among those that did not end sooner; density and share once more with gaps counted in visits.
    """
    start = log.item_start[item]
    narrow, wide, later, total, narrow_visits, later_visits = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(start + known - 1, max(start, start + known - SCAN) - 1, -1):
        other, other_visits = log.occurrence_gap[j], log.occurrence_visits[j]
        if other <= 0:  # a first event, or a second one of the same visit
            continue
        apart = abs(other - gap)
        narrow += max(0.0, 1.0 - apart / NEAR)
        wide += max(0.0, 1.0 - apart / WIDE)
        later += 1.0 if other > gap - NEAR else 0.0
        narrow_visits += max(0.0, 1.0 - abs(other_visits - visits) / NEAR_VISITS)
        later_visits += 1.0 if other_visits > visits - NEAR_VISITS else 0.0
        total += 1.0
        if total == ENOUGH:
            break
    out[0] = np.log((narrow * SPAN / NEAR + DOUBT) / (total + DOUBT))
    out[1] = np.log((wide * SPAN / WIDE + DOUBT) / (total + DOUBT))
    out[2] = np.log((narrow + 1.0) / (later + DOUBT))
    out[3] = np.log((narrow_visits * SPAN_VISITS / NEAR_VISITS + DOUBT) / (total + DOUBT))
    out[4] = np.log((narrow_visits + 1.0) / (later_visits + DOUBT))
