"""Decayed counters against their sum over the events strictly before t."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from timerec import counters
from timerec.clock import DAY, HALF_LIVES, MINUTE

KEYS = 4


def case(seed, n):
    """Slabs of KEYS keys, of which the last has no events; seconds are shared."""
    rng = np.random.default_rng(seed)
    key = np.sort(rng.integers(0, KEYS - 1, n))
    time = 1_600_000_000 + rng.integers(0, 300 * DAY, n) // 5000 * 5000
    order = np.lexsort((time, key))
    size = np.bincount(key, minlength=KEYS).astype(np.int64)
    weight = rng.choice([0.3, 1.0, 2.7], n).astype(np.float32)
    return key, time[order].astype(np.int64), weight, np.cumsum(size) - size, size


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_value_is_the_decayed_sum_of_what_came_strictly_before(seed, n):
    key, time, weight, start, size = case(seed, n)
    rng = np.random.default_rng(seed)
    keys = rng.integers(-1, KEYS, 30)
    times = rng.choice(time, 30) + rng.choice([0, 1, -1, 7 * DAY], 30)
    states = counters.decayed_states(start, size, time, weight, HALF_LIVES)
    assert states.dtype == np.float32
    found = counters.values(start, size, time, states, keys, times, HALF_LIVES)
    for r in range(30):
        counts = (key == keys[r]) & (time < times[r])
        decay = 2.0 ** (-(times[r] - time[counts])[:, None] / HALF_LIVES)
        np.testing.assert_allclose(found[r], (weight[counts, None] * decay).sum(0), rtol=1e-5, atol=1e-7)


def test_events_of_the_same_second_do_not_count():
    time, one, none = np.array([100, 100, 200]), np.array([3]), np.array([0])
    states = counters.decayed_states(none, one, time, np.ones(3, np.float32), np.array([100.0]))
    moments = [100, 101, 200, 201, 300]
    assert [counters.before(time, 0, 3, t) for t in moments] == [0, 2, 2, 3, 3]
    found = counters.values(none, one, time, states, np.zeros(5, int), np.array(moments), np.array([100.0]))[:, 0]
    np.testing.assert_allclose(found, [0, 2 * 2**-0.01, 1, 2 * 2**-0.01, 1], rtol=1e-6)


def test_one_event_at_a_time_gives_the_same_numbers():
    _, time, weight, *_ = case(3, 60)
    time = np.sort(time)
    states = counters.decayed_states(np.array([0]), np.array([60]), time, weight, HALF_LIVES)
    state = np.zeros(8, np.float32)
    for j in range(60):
        after = np.empty(8, np.float32)
        counters.advance(state, time[j] - time[j - 1] if j else 0, weight[j], HALF_LIVES, after)
        state = after
        np.testing.assert_array_equal(state, states[j])


def test_grid_spans_ten_minutes_to_half_a_year():
    assert (HALF_LIVES[0], len(HALF_LIVES)) == (10 * MINUTE, 8)
    np.testing.assert_allclose(HALF_LIVES[-1], 180 * DAY)
    np.testing.assert_allclose(np.diff(np.log(HALF_LIVES)), np.log(180 * 144) / 7)
