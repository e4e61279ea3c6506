"""How usual it is that an item is taken again after so long: its latest repeat gaps, everybody's, beside a user's own."""

from __future__ import annotations

import numpy as np
from numba import njit

SCAN = 400  # latest events of the item that are looked at
ENOUGH = 200  # latest repeat gaps among them that are counted
NARROW, WIDE = 0.5, 1.5  # half-widths of the triangles that count a gap as near, in natural logarithms of seconds
SPAN = 9.0  # from an hour to a year: over so much a gap of which nothing is known is spread
DOUBT = 3.0  # gaps of that kind that are added

FEATURES = ["item_usual", "item_usual_wide", "item_hazard"]


@njit(cache=True)
def features(log, item, known, gap, out):
    """Fill how a gap compares with the item's repeat gaps, `known` of whose events are strictly before t.

    Args:
        gap: log1p of seconds since the user took it.
        out: float [3]: log density of the repeat gaps at this one, against even spread, by either width; log of the share of
            gaps that end now among those that have not ended before.
    """
    start = log.item_start[item]
    narrow, wide, later, total = 0.0, 0.0, 0.0, 0.0
    for j in range(start + known - 1, max(start, start + known - SCAN) - 1, -1):
        other = log.occurrence_gap[j]
        if other < 0:
            continue
        apart = abs(other - gap)
        narrow += max(0.0, 1.0 - apart / NARROW)
        wide += max(0.0, 1.0 - apart / WIDE)
        later += 1.0 if other > gap - NARROW else 0.0
        total += 1.0
        if total == ENOUGH:
            break
    out[0] = np.log((narrow * SPAN / NARROW + DOUBT) / (total + DOUBT))
    out[1] = np.log((wide * SPAN / WIDE + DOUBT) / (total + DOUBT))
    out[2] = np.log((narrow + 1.0) / (later + DOUBT))
