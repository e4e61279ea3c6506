"""Parity: a log that received its events one by one holds what a log built at once holds."""

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
    categories,
    in_order,
    layout_of,
    random_events,
    snapshots,
    sources_of,
)
from timerec.candidates import batch, similar, trending
from timerec.clock import DAY
from timerec.eventlog import CHECKPOINT, TOP, build
from timerec.livelog import LiveLog


def replay(live, events, seed):
    """Append in order of time, in any order within a second."""
    order = np.lexsort((np.random.default_rng(seed).random(len(events.time)), events.time))
    for row in order:
        live.append(*(column[row].item() for column in events))


def assert_same(one, other):
    for name in one._fields:
        first, second = getattr(one, name), getattr(other, name)
        assert first.dtype == second.dtype, name
        np.testing.assert_array_equal(first, second, err_msg=name, strict=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 300))
def test_every_array_equals_the_built_one(seed, n):
    events = random_events(seed, n)
    attributes = attribute_rows(seed)
    live = LiveLog.empty(categories(), n_users=12, attributes=attributes)
    replay(live, events, seed)
    assert_same(live.packed(), build_log(events, attributes=attributes))


def test_whoever_looks_at_the_log_again_sees_every_change():
    live = LiveLog.empty(categories(), n_users=1)
    known = live.log
    user = live.add_user()
    assert live.log.n_users == known.n_users + 1
    item = live.add_item(len(known.category_start))
    assert (live.log.n_items, len(live.log.category_start)) == (known.n_items + 1, len(known.category_start) + 1)
    for second in range(50):  # beyond the room of a slab, so that arrays move
        live.append(0, item, START + second)
        log = live.log
        assert log.event_time[log.user_start[0] + log.user_size[0] - 1] == START + second
    count = 500
    ones = np.ones(count, np.float32)
    live.lend(user, np.full(count, item, np.int32), START + np.arange(count), ones, ones, np.zeros(count, np.int8))
    log = live.log
    start = log.user_start[user]
    np.testing.assert_array_equal(log.event_time[start : start + log.user_size[user]], START + np.arange(count))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 250))
def test_goes_on_from_a_built_log_in_the_middle_of_a_second(seed, known):
    events = random_events(seed, 300, tick=50_000)
    order = np.lexsort((np.random.default_rng(seed).random(len(events.time)), events.time))
    early = np.zeros(len(order), bool)
    early[order[:known]] = True
    live = LiveLog(build_log(events.where(early)))
    replay(live, events.where(~early), seed)
    assert_same(live.packed(), build_log(events))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 300), st.integers(1, 40))
def test_late_events_stand_where_their_time_says(seed, known, together):
    events = random_events(seed, 300, tick=50_000)
    order = np.random.default_rng(seed).permutation(len(events.time))
    early = np.zeros(len(order), bool)
    early[order[:known]] = True
    live = LiveLog(build_log(events.where(early)))
    for first in range(known, len(order), together):
        rows = order[first : first + together]
        live.enter(*(column[rows] for column in events))
    assert_same(live.packed(), build_log(events))


def test_a_late_event_mends_trending_lists_behind_it():
    events = random_events(3, 3 * CHECKPOINT, users=300, items=90, tick=50_000)
    late = np.zeros(len(events.time), bool)
    late[np.argsort(events.time, kind="stable")[10]] = True
    live = LiveLog(build_log(events.where(~late), users=300, items=90))
    live.enter(*events.where(late))
    assert_same(live.packed(), build_log(events, users=300, items=90))


def test_trending_lists_across_checkpoints():
    # a tick holds dozens of events, over the checkpoints too
    events = random_events(3, 3 * CHECKPOINT, users=300, items=90, tick=50_000)
    whole, live = build_log(events, users=300, items=90), LiveLog.empty(categories(90), n_users=300)
    replay(live, events, 3)
    assert_same(live.packed(), whole)
    assert len(live) == len(events.time) > 2 * CHECKPOINT
    for t in np.append(np.unique(events.time)[::7], START + 90 * DAY):
        lists = []
        for log in (whole, live.log):
            items, scores = np.empty((8, TOP), np.int32), np.empty((8, TOP))
            trending.lists(log, t, items, scores)
            overall = np.empty(8, np.float32)
            lists.append((items, scores, overall, trending.everything(log, t, overall)))
        for one, other in zip(*lists, strict=True):
            np.testing.assert_array_equal(one, other)


def test_answers_are_the_same_on_slabs_with_slack():
    events, attributes = random_events(5, 500), attribute_rows(5)
    whole = build_log(events, attributes=attributes)
    live = LiveLog.empty(categories(), n_users=12, attributes=attributes)
    replay(live, events, 5)
    users = np.repeat(np.arange(-1, 12, dtype=np.int32), 4)
    times = np.random.default_rng(0).choice(events.time, len(users))
    built = []
    for log in (whole, live.log):
        sources = sources_of(whole)._replace(log=log)
        built.append(build_batch(sources, layout_of(log), users, times))
    for name in batch.Batch._fields:
        np.testing.assert_array_equal(getattr(built[0], name), getattr(built[1], name), err_msg=name)
    learnt = [similar.fit(log, snapshots()) for log in (whole, live.packed())]
    np.testing.assert_array_equal(learnt[0].weight, learnt[1].weight)


def test_new_users_items_and_categories():
    live = LiveLog.empty(np.zeros(1, np.int32))
    rows, category = [], [0]
    rng = np.random.default_rng(1)
    for step in range(200):
        if rng.random() < 0.2 or step == 0:
            live.add_user()
        if rng.random() < 0.2:
            category.append(int(rng.integers(0, max(category) + 2)))
            assert live.add_item(category[-1], listed=START + step) == len(category) - 1
        row = (rng.integers(live.log.n_users), rng.integers(len(category)), START + step // 3 * 977, 1.0, 2.0)
        if row[:3] not in {old[:3] for old in rows}:
            rows.append(row)
            live.append(*map(int, row))
    rows = np.array([(u, i, t, 1.0, w) for u, i, t, _, w in rows])
    listed = live.log.listed.copy()
    assert listed[1] < START + 200 < listed[0]
    expected = build(*in_order(*rows.T), n_users=live.log.n_users, item_category=np.array(category, np.int32), listed=listed)
    assert_same(live.packed(), expected)


def test_what_one_second_holds_of_a_pair_stands_in_the_order_of_kinds():
    live = LiveLog.empty(np.zeros(1, np.int32), n_users=1)
    for kind in (1, 0, -1):
        live.append(0, 0, START, float(kind + 5), 1.0, kind)
    assert live.packed().event_kind.tolist() == [-1, 0, 1] and live.packed().event_value.tolist() == [4, 5, 6]
    again = LiveLog(live.packed())
    again.append(0, 0, START, 5.5, 1.0, 0)
    assert again.packed().event_value.tolist() == [4, 5, 5.5, 6]


def test_a_kind_that_is_no_place_is_refused_and_spoils_nothing():
    live = LiveLog.empty(np.zeros(1, np.int32), n_users=1)
    for kind in (-2, 200):
        with pytest.raises(ValueError, match="is no place"):
            live.append(0, 0, START, kind=kind)
    live.append(0, 0, START, kind=1)
    assert len(live) == 1


def test_views_see_the_very_next_event():
    live = LiveLog.empty(np.zeros(2, np.int32), n_users=1)
    live.append(0, 1, START)
    assert len(live) == 1
    assert live.log.user_size.tolist() == [1]
    assert live.log.item_size.tolist() == [0, 1]


def test_what_cannot_be_entered_is_refused():
    live = LiveLog.empty(np.zeros(2, np.int32), n_users=1)
    live.append(0, 0, START)
    for user, item in ((1, 0), (0, 2), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="unknown"):
            live.append(user, item, START)
    with pytest.raises(ValueError, match="category 2"):
        live.add_item(2)
    assert len(live) == 1
