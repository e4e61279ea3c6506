"""Trending lists against a full sort of the counters as of t."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.core_cases import START, build_log, random_events
from timerec import counters
from timerec.candidates import trending
from timerec.clock import DAY, HALF_LIVES
from timerec.eventlog import CHECKPOINT, TOP


@pytest.mark.parametrize(("n", "items"), [(200, 10), (3 * CHECKPOINT, 120)])
def test_lists_are_the_exact_top_by_the_counters(n, items):
    events = random_events(1, n, users=40, items=items)
    log = build_log(events, users=40, items=items)
    moments = np.random.default_rng(0).choice(events.time, 15)
    for t in [*moments, *(moments + 1), START, events.time.max() + 30 * DAY]:
        found, scores = np.empty((8, TOP), np.int32), np.empty((8, TOP))
        trending.lists(log, t, found, scores)
        every = np.arange(items)
        count = counters.values(
            log.item_start, log.item_size, log.occurrence_time, log.occurrence_state, every, np.full(items, t), HALF_LIVES
        )
        seen = np.unique(events.item[events.time < t])
        for h, half_life in enumerate(HALF_LIVES):
            listed = found[h][found[h] >= 0]
            assert len(listed) == len(set(listed)) == min(TOP, len(seen))
            assert set(listed) <= set(seen)
            # far past a short half-life float32 counters vanish, but the stored logarithms do not
            exact = log2_counters(events, t, half_life, items)
            np.testing.assert_allclose(scores[h][: len(listed)] - t / half_life, exact[listed], atol=2e-6)
            np.testing.assert_allclose(exact[listed], np.sort(exact)[::-1][: len(listed)], atol=2e-6)
            if half_life > DAY:
                np.testing.assert_allclose(count[:, h], np.exp2(exact), rtol=1e-4)


def log2_counters(events, t, half_life, items):
    past = events.time < t
    power = np.log2(events.weight[past].astype(float)) - (t - events.time[past]) / half_life
    out = np.full(items, -np.inf)
    np.logaddexp2.at(out, events.item[past], power)
    return out


def test_everything_counts_all_events_before_t():
    events = random_events(2, 300)
    log = build_log(events)
    for t in (START, events.time[40], events.time[40] + 1, START + 400 * DAY):
        out = np.empty(8, np.float32)
        past = events.time < t
        assert trending.everything(log, t, out) == past.sum()
        decay = 2.0 ** (-(t - events.time[past])[:, None] / HALF_LIVES)
        np.testing.assert_allclose(out, (events.weight[past, None] * decay).sum(0), rtol=1e-5, atol=1e-7)
