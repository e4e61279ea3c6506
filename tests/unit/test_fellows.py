"""People who took what the user took, and where they were lately."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.core_cases import START, Events, build_log
from timerec.candidates import fellows, order

USERS, ITEMS = 300, 60
LATER = START + 100_000


def events(rows):
    """Sorted events from (user, item, second)."""
    user, item, second = np.array(sorted(rows, key=lambda row: (row[0], row[2], row[1]))).T
    ones = np.ones(len(user), np.float32)
    return Events(user.astype(np.int32), item.astype(np.int32), START + second, ones, ones, np.full(len(user), -1, np.int8))


def history(log, begin, known, step):
    places = np.empty(fellows.SOURCES, np.int64)
    return places[: order.sources(log, begin, known, len({*log.event_item[begin : begin + known]}), step, places)]


def found(rows, user, item, t=LATER, step=0):
    """Features of a pair by name."""
    log = build_log(events(rows), users=USERS, items=ITEMS)
    near, ahead, met = np.zeros(USERS, np.float32), np.zeros(USERS, np.float32), np.zeros(USERS, np.int32)
    begin = log.user_start[user] if user >= 0 else 0
    slab = log.event_time[begin : begin + log.user_size[user]] if user >= 0 else log.event_time[:0]
    known = int((slab < t).sum())
    n = int((log.occurrence_time[log.item_start[item] :][: log.item_size[item]] < t).sum())
    count = fellows.scan(log, user, history(log, begin, known, step), t, near, ahead, met, step)
    out = np.zeros(len(fellows.FEATURES), np.float32)
    fellows.features(log, item, n, user, t, near, ahead, out, step)
    fellows.forget(near, ahead, met, count)
    assert not near.any() and not ahead.any()
    return dict(zip(fellows.FEATURES, np.exp(out) - fellows.FLOOR, strict=True))


def test_an_item_of_a_minute_ago_is_near_when_a_fellow_took_it():
    rows = [(0, 1, 10), (1, 1, 5), (2, 3, 5), (1, 7, 90_000), (2, 8, 90_000)]
    assert found(rows, 0, 7)["fellows"] == pytest.approx(1 / np.log(5) / np.sqrt(7), rel=1e-4)
    assert found(rows, 0, 8)["fellows"] == pytest.approx(0, abs=1e-6)


def test_only_who_came_first_is_ahead():
    rows = [(0, 1, 10), (1, 1, 5), (2, 1, 10), (1, 7, 20), (2, 8, 20)]  # user 2 came in the same second
    assert found(rows, 0, 7)["fellows_ahead"] == pytest.approx(found(rows, 0, 7)["fellows"], rel=1e-4)
    assert found(rows, 0, 8)["fellows_ahead"] == pytest.approx(0, abs=1e-6) and found(rows, 0, 8)["fellows"] > 0


def test_a_fellow_fades_within_hours():
    rows = [(0, 1, 10), (1, 1, 5), (1, 7, 20)]
    at_once, later = found(rows, 0, 7, t=START + 21), found(rows, 0, 7, t=START + 20 + 6 * 3600)
    assert later["fellows"] == pytest.approx(at_once["fellows"], rel=1e-4)
    assert later["fellows_lately"] == pytest.approx(at_once["fellows_lately"] / np.e, rel=1e-3)


def test_what_happens_at_the_moment_itself_says_nothing():
    rows = [(0, 1, 10), (1, 1, 5), (1, 7, 20)]
    assert found(rows, 0, 7, t=START + 20)["fellows"] == pytest.approx(0, abs=1e-6)
    assert found(rows, 0, 7, t=START + 21)["fellows"] > 0
    rows = [(0, 1, 10), (1, 7, 15), (1, 1, 20)]  # who takes the user's item at the moment is no fellow yet
    assert found(rows, 0, 7, t=START + 20)["fellows"] == pytest.approx(0, abs=1e-6)
    rows = [(0, 1, 10), (1, 1, 5), (1, 7, 15)]  # nor has a fellow had one event more
    now = found([*rows, (1, 9, 20)], 0, 7, t=START + 20)["fellows"]
    assert now == pytest.approx(found(rows, 0, 7, t=START + 20)["fellows"], rel=1e-5)


def test_lift_is_by_the_root_of_the_events_of_others():
    rows = [(0, 1, 10), (1, 1, 5), (0, 7, 12), (1, 7, 15), (2, 7, 16)]
    pair = found(rows, 0, 7)
    assert pair["fellows_lift"] == pytest.approx(pair["fellows"] / np.sqrt(3), rel=1e-4)


def test_the_user_is_no_fellow_and_a_stranger_has_none():
    rows = [(0, 1, 10), (0, 7, 20), (1, 7, 30)]
    assert found(rows, 0, 1)["fellows"] == pytest.approx(0, abs=1e-6)
    assert found(rows, -1, 7)["fellows"] == pytest.approx(0, abs=1e-6)


def test_only_the_latest_takers_of_the_latest_items_make_fellows():
    crowd = [(u, 1, u) for u in range(1, fellows.TAKERS + 2)]
    last = fellows.TAKERS + 1
    rows = [(0, 1, 500), *crowd, (1, 7, 600), (2, 8, 600), (last, 9, 600)]
    assert found(rows, 0, 7)["fellows"] == pytest.approx(0, abs=1e-6)  # user 0 is in the latest TAKERS, too, and user 1 is not
    assert found(rows, 0, 9)["fellows"] > 0
    many = [(0, i, 1000 - i) for i in range(1, fellows.SOURCES + 2)]  # the first of them is the newest
    old, new = fellows.SOURCES + 1, fellows.SOURCES
    assert found([*many, (1, old, 5), (1, 59, 6)], 0, 59)["fellows"] == pytest.approx(0, abs=1e-6)
    assert found([*many, (1, new, 5), (1, 59, 6)], 0, 59)["fellows"] > 0


def test_only_the_latest_events_of_a_candidate_count():
    rows = [(0, 1, 10), (1, 1, 5), (1, 7, 20), *((u, 7, 30 + u) for u in range(2, fellows.LATEST + 1))]
    assert found(rows, 0, 7)["fellows"] > 0
    assert found([*rows, (299, 7, 200)], 0, 7)["fellows"] == pytest.approx(0, abs=1e-6)


def test_read_as_sets_the_order_says_nothing():
    rows = [(0, 1, 10), (0, 2, 11), (1, 1, 5), (2, 2, 20), (1, 7, 30), (2, 7, 40)]
    swapped = [(0, 2, 10), (0, 1, 11), (1, 1, 50), (2, 2, 1), (2, 7, 60), (1, 7, 70)]
    one, other = found(rows, 0, 7, step=1), found(swapped, 0, 7, step=1)
    for name in ("fellows", "fellows_lift"):
        assert one[name] == pytest.approx(other[name], rel=1e-5)
