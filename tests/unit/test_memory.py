"""What is gathered of a user's history with an item, at the borders that random histories seldom meet."""

from __future__ import annotations

from math import log1p

import numpy as np
import pytest

from tests.unit.core_cases import START, build_log, in_order
from timerec.candidates.memory import BASKETS, GAPS_LATER, SAME_HOUR, SAME_WEEKDAY, SUM_GAP, SUM_SQUARE, collect, memory
from timerec.clock import DAY, HOUR

MIDNIGHT = START // DAY * DAY


def gathered(times, t):
    """The statistics at t of one user's events with one item."""
    one, none = np.ones(len(times)), np.zeros(len(times), int)
    log = build_log(in_order(none, none, np.array(times), one, one), users=1, items=1)
    found = memory(1, 1, len(log.half_lives))
    assert collect(log, np.zeros(1, np.int32), 0, len(times), t, found) == 1
    return found.stats[0]


@pytest.mark.parametrize("hour", [1, 12, 23])
def test_an_hour_is_the_same_up_to_two_hours_away_round_the_clock(hour):
    t = MIDNIGHT + 3 * DAY + hour * HOUR
    for apart in (2 * HOUR, -2 * HOUR):
        assert gathered([t - DAY + apart], t)[SAME_HOUR] == 1
        assert gathered([t - DAY + apart + np.sign(apart)], t)[SAME_HOUR] == 0


def test_a_weekday_changes_at_midnight():
    t = MIDNIGHT + 8 * DAY
    assert gathered([MIDNIGHT + DAY - 1, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY - 1, MIDNIGHT + 2 * DAY], t)[SAME_WEEKDAY] == 2


def test_the_first_second_of_all_is_a_visit_as_any_other():
    stats = gathered([0, DAY], 2 * DAY)
    gap = log1p(DAY)
    np.testing.assert_allclose(stats[[BASKETS, SUM_GAP, SUM_SQUARE, GAPS_LATER]], [2, gap, gap * gap, 1])
