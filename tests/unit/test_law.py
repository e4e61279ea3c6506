"""The one law: what happens at or after t leaves the answer at t bit for bit as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core_cases import (
    SPAN,
    START,
    attribute_rows,
    build_log,
    joint_model,
    random_events,
    sources_of,
    state_of,
)
from timerec.clock import DAY
from timerec.engine import Engine

USERS = 12
LATER = 15  # users of the altered logs: the last three come after t


def answers(events, attributes, listed, t, *, users=USERS, repeats=True, kind="concat"):
    """Lists, scores and Shapley values of every user and a stranger as of t."""
    log = build_log(events, users=users, attributes=attributes, listed=listed)
    engine = Engine(state_of(sources_of(log, repeats=repeats)), joint_model(log, kind))
    asked = np.arange(-1, USERS, dtype=np.int32)
    times = np.full(len(asked), t)
    items, scores = engine.rank(asked, times, 8)
    start = np.arange(len(asked) + 1) * 5
    pairs = np.random.default_rng(0).integers(0, 25, start[-1]).astype(np.int32)
    explained = engine.explain(asked, times, start, pairs)
    return items, scores, engine.score(asked, times, start, pairs), *explained


def assert_same(one, other):
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second, strict=True)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(["concat", "gated"]))
def test_nothing_at_or_after_the_moment_counts(seed, repeats, kind):
    rng = np.random.default_rng(seed)
    events, rows = random_events(seed, 500), attribute_rows(seed)
    t = int(rng.choice(np.append(events.time[events.time > START + 5 * DAY], START + SPAN // 3)))
    listed = np.where(rng.random(25) < 0.5, START + rng.integers(0, 60, 25) * DAY, 2**62)
    how = {"repeats": repeats, "kind": kind}
    before = answers(events, rows, listed, t, **how)

    future = events.time >= t
    assert future.any()
    assert_same(before, answers(events.where(~future), rows, listed, t, **how))  # deleted

    altered = events.where(future)
    altered = altered._replace(
        item=rng.integers(0, 25, len(altered.item)).astype(np.int32),
        weight=altered.weight * 7,
        value=altered.value + 3,
        kind=rng.integers(-1, 2, len(altered.item)).astype(np.int8),
    )
    altered.time[::3] = t  # into the very second of the request
    assert_same(before, answers(events.where(~future).plus(altered), rows, listed, t, **how))

    added = random_events(seed + 1, 400, users=LATER, start=t, span=SPAN)
    added.time[:5] = t
    assert_same(before, answers(events.plus(added), rows, listed, t, users=LATER, **how))

    item, time, value = rows
    later = time > t
    assert_same(before, answers(events, (item[~later], time[~later], value[~later]), listed, t, **how))
    assert_same(before, answers(events, (item, time, np.where(later[:, None], 99, value)), listed, t, **how))

    unlisted = np.where((listed > t) & (np.arange(25) % 2 == 0), 2**62, listed)
    assert_same(before, answers(events, rows, unlisted, t, **how))


@pytest.mark.parametrize("what", ["event", "attribute"])
def test_what_came_a_second_earlier_does_count(what):
    events, rows = random_events(1, 500), attribute_rows(1)
    listed, t = np.full(25, 2**62), int(np.median(events.time))
    before = answers(events, rows, listed, t)
    if what == "event":
        events = events.plus(random_events(2, 30, start=t - 1, span=1))
    else:
        item, time, value = rows
        rows = item, np.where(time > t, t, time), value
    after = answers(events, rows, listed, t)
    assert (before[2] != after[2]).any()
