"""Which of an item's repeat gaps are counted."""

from __future__ import annotations

from math import log, log1p

import numpy as np
import pytest

from tests.unit.core_cases import START, Events, build_log, in_order
from timerec.candidates import due
from timerec.clock import DAY


def log_of(user, time):
    """A log of one item."""
    ones = np.ones(len(user))
    return build_log(in_order(np.array(user), np.zeros(len(user), int), np.array(time), ones, ones), users=max(user) + 1)


def usual(log_, gap, visits=1):
    out = np.zeros(len(due.ITEM_FEATURES))
    due.everybody(log_, 0, int(log_.item_size[0]), np.log1p(gap), np.log1p(visits), out)
    return dict(zip(due.ITEM_FEATURES, out, strict=True))


def test_a_second_event_of_the_same_visit_is_no_gap():
    once = usual(log_of([0, 0, 1], [START, START + DAY, START]), DAY)
    twice = usual(log_of([0, 0, 0, 1], [START, START + DAY, START + DAY, START]), DAY)
    assert once == pytest.approx(twice)
    assert once["item_usual"] == pytest.approx(log((18 + 3) / 4))


def test_only_the_latest_gaps_count():
    days = np.concatenate([np.arange(100) * 7, 700 + np.arange(due.ENOUGH + 50)])  # weekly at first, then daily
    found = usual(log_of([0] * len(days), START + days * DAY), DAY)
    n = due.ENOUGH
    assert found["item_usual"] == pytest.approx(log((18 * n + 3) / (n + 3)), rel=1e-4)
    assert found["item_hazard"] == pytest.approx(log((n + 1) / (n + 3)), rel=1e-4)
    weekly = usual(log_of([0] * len(days), START + days * DAY), 7 * DAY)
    assert weekly["item_usual"] == pytest.approx(log(3 / (n + 3)), rel=1e-4)


@pytest.mark.parametrize(("others", "expected"), [(due.SCAN - 1, log((18 + 3) / 4)), (due.SCAN, 0.0)])
def test_only_the_latest_events_are_looked_at(others, expected):
    """Two daily events of one user, then so many other people, once each."""
    log_ = log_of([0, 0, *range(1, others + 1)], [START, START + DAY, *(START + 2 * DAY + np.arange(others))])
    assert usual(log_, DAY)["item_usual"] == pytest.approx(expected, abs=1e-5)


def test_gaps_in_visits_are_those_between_the_users_requests():
    time = START + np.arange(6) * DAY
    item = np.array([0, 1, 1, 0, 1, 0])
    ones = np.ones(6)
    log_ = build_log(Events(*in_order(np.zeros(6, int), item, time, ones, ones)), users=1)
    gap, visits = log_.occurrence_gap, log_.occurrence_visits
    mine = slice(int(log_.item_start[0]), int(log_.item_start[0] + log_.item_size[0]))
    np.testing.assert_allclose(gap[mine], [-1, log1p(3 * DAY), log1p(2 * DAY)], rtol=1e-6)
    np.testing.assert_allclose(visits[mine], [-1, log1p(3), log1p(2)], rtol=1e-6)
