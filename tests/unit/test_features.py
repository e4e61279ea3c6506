"""The features of pairs and requests against their definitions in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core_cases import (
    START,
    attribute_rows,
    build_batch,
    build_log,
    layout_of,
    random_events,
    sources_of,
)
from tests.unit.oracle import Oracle
from timerec.candidates import context
from timerec.clock import DAY, HOUR

TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}


def case(seed, n=400, users=12, requests=6, items=25):
    """A log, requests at the seconds of events and attributes, just after them, and far off; each scores everything."""
    rng = np.random.default_rng(seed)
    events, attributes = random_events(seed, n, users=users, items=items), attribute_rows(seed, items)
    listed = np.where(np.arange(items) % 3 == 0, START + 10 * DAY, 2**62)
    log = build_log(events, users=users, items=items, attributes=attributes, listed=listed)
    sources = sources_of(log, seed)
    row = rng.integers(0, len(events.time), requests)
    user, time = events.user[row].astype(int), events.time[row] + rng.choice([0, 1, HOUR, 5000, 3 * DAY], requests)
    user[-1] = -1
    time[::3] = rng.choice(attributes[1], len(time[::3]))
    built = build_batch(sources, layout_of(log), user, time, [list(range(items))] * requests)
    return events, attributes, listed, sources, layout_of(log).names, user, time, built


def check(found, expected, names):
    for name, value in expected.items():
        np.testing.assert_allclose(found[names.index(name)], value, **TOLERANCE, err_msg=name)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_all_features_follow_their_definitions(seed):
    events, attributes, listed, sources, names, users, times, built = case(seed)
    for r, (user, t) in enumerate(zip(users.tolist(), times.tolist(), strict=True)):
        known = Oracle(events, t, user)
        check(built.context[r], known.context(), context.FEATURES)
        assert sorted(built.items[r, : built.count[r]]) == list(range(25))
        for c, item in enumerate(built.items[r].tolist()):
            expected = known.habit(item) | known.group_habit(item) | known.momentum(item, listed[item])
            expected |= known.kinds(item) | known.attributes(item, attributes) | known.forecast(item, sources.forecast)
            expected |= known.neighbours(item) | known.fellows(item) | known.text(item, sources.vectors)
            assert {*names} - {*expected} == {"similar_fast", "similar_slow"}
            check(built.features[r, c], expected, names)


def test_neighbours_look_at_the_latest_hundred_events_of_the_latest_fifteen_items():
    events, *_, names, users, times, built = case(2, n=2500, users=8, requests=3, items=18)
    users, times = users[:2].tolist(), times[:2].tolist()
    assert max(np.bincount(events.item)) > 200
    for r, (user, t) in enumerate(zip(users, times, strict=True)):
        known = Oracle(events, t, user, items=18)
        for c, item in enumerate(built.items[r].tolist()):
            check(built.features[r, c], known.neighbours(item), names)


@pytest.mark.parametrize("history", [4, 60])
def test_history_window(history):
    events = random_events(1, 300)
    sources = sources_of(build_log(events))
    times = np.array([START + 20 * DAY, events.time[150], START + 90 * DAY, START + 90 * DAY])
    users = np.array([3, int(events.user[150]), 5, -1])
    built = build_batch(sources, layout_of(sources.log), users, times, history=history)
    for r in range(3):
        rows = [row for row in zip(*events, strict=True) if row[0] == users[r] and row[2] < times[r]][-history:]
        gap = len(built.history[r]) - len(rows)
        assert built.history[r].tolist() == [-1] * gap + [row[1] for row in rows]
        np.testing.assert_allclose(built.gaps[r, gap:], np.log1p([times[r] - row[2] for row in rows]), rtol=1e-6)
        np.testing.assert_allclose(built.values[r, gap:], np.log1p([row[3] for row in rows]), rtol=1e-6)
        assert not built.gaps[r, :gap].any()
    assert (built.history[3] == -1).all()
