"""The views of the log against plain filters of its events."""

from __future__ import annotations

import re
import sys
from math import log1p
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core_cases import attribute_rows, build_log, categories, random_events
from timerec.clock import DAY, HALF_LIVES
from timerec.eventlog import NEVER, let_go, open_log, save


def decayed(times, weights):
    """State after each event, in double precision."""
    late = times[:, None] - times[None, :]
    decay = np.where(late[..., None] >= 0, 2.0 ** (-np.maximum(late, 0)[..., None] / HALF_LIVES), 0)
    return (np.tril(np.ones_like(late))[..., None] * decay * weights[None, :, None]).sum(1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 250))
def test_views_hold_the_same_events(seed, n):
    events = random_events(seed, n)
    log = build_log(events)
    rows = list(zip(*(column.tolist() for column in events), strict=True))
    assert (log.n_users, log.n_items) == (12, 25)
    for user in range(12):
        span = slice(log.user_start[user], log.user_start[user] + log.user_size[user])
        mine = [row for row in rows if row[0] == user]
        columns = (log.event_item, log.event_time, log.event_value, log.event_weight, log.event_kind)
        assert list(zip(*(column[span].tolist() for column in columns), strict=True)) == [row[1:] for row in mine]
        visits = sorted({row[2] for row in mine})
        assert log.event_basket[span].tolist() == [visits.index(row[2]) for row in mine]
    ranks = {row[:3]: sum(r[0] == row[0] for r in rows[:j]) for j, row in enumerate(rows)}
    for item in range(25):
        span = slice(log.item_start[item], log.item_start[item] + log.item_size[item])
        mine = sorted((row[2], row[0], row) for row in rows if row[1] == item)
        assert log.occurrence_time[span].tolist() == [time for time, *_ in mine]
        assert log.occurrence_user[span].tolist() == [user for _, user, _ in mine]
        assert log.occurrence_rank[span].tolist() == [ranks[row[:3]] for *_, row in mine]
        if mine:
            times, weights = np.array([m[0] for m in mine]), np.array([m[2][4] for m in mine])
            np.testing.assert_allclose(log.occurrence_state[span], decayed(times, weights), rtol=1e-5)
            np.testing.assert_allclose(log.occurrence_sums[span], sums([m[2] for m in mine]), rtol=1e-12)
    for category in range(4):
        span = slice(log.category_start[category], log.category_start[category] + log.category_size[category])
        mine = sorted((row[2], row[4]) for row in rows if categories()[row[1]] == category)
        assert log.category_time[span].tolist() == [time for time, _ in mine]
        if mine:  # the state after a second does not depend on the order within it
            last = decayed(np.array([m[0] for m in mine]), np.array([m[1] for m in mine]))[-1]
            np.testing.assert_allclose(log.category_state[span][-1], last, rtol=1e-5)


def sums(rows):
    """Running value, repeats, log gaps and weight of one item's events in order of time."""
    out, last = [], {}
    for user, _, time, value, weight, _ in rows:
        gap = time - last[user] if user in last else None
        last[user] = time
        out.append([value, gap is not None, log1p(gap) if gap is not None else 0, weight])
    return np.cumsum(np.array(out, float), 0)


def test_tape_runs_through_all_events_in_order_of_time():
    events = random_events(4, 300)
    log = build_log(events)
    assert log.tape_size.tolist() == [len(events.time)]
    assert log.tape_time.tolist() == sorted(events.time)
    assert sorted(log.tape_occurrence) == list(range(len(events.time)))
    np.testing.assert_array_equal(log.occurrence_time[log.tape_occurrence], log.tape_time)
    holder = np.repeat(np.arange(25), log.item_size)
    np.testing.assert_array_equal(holder[log.tape_occurrence], log.tape_item)
    by_time = np.argsort(events.time, kind="stable")
    expected = decayed(events.time[by_time], events.weight[by_time])
    ends = np.append(np.diff(log.tape_time) > 0, True)
    np.testing.assert_allclose(log.tape_state[ends], expected[ends], rtol=1e-5)


def test_attributes_hold_on_and_their_mean_runs():
    rows = attribute_rows(1)
    log = build_log(random_events(1), attributes=rows)
    assert (log.listed == NEVER).all()
    for item in range(25):
        span = slice(log.attribute_start[item], log.attribute_start[item] + log.attribute_size[item])
        own = sorted((time, *value) for i, time, value in zip(*(x.tolist() for x in rows), strict=True) if i == item)
        assert log.attribute_time[span].tolist() == [row[0] for row in own]
        for p in (0, 1):
            known: list[float] = []
            for j, row in enumerate(own):
                known += [row[p + 1]] if row[p + 1] == row[p + 1] else []
                value, mean = log.attribute_value[span][j, p], log.attribute_mean[span][j, p]
                assert (value, mean) == pytest.approx((known[-1], np.mean(known)) if known else (np.nan,) * 2, nan_ok=True)


def test_attributes_may_come_in_any_order():
    item, time, value = attribute_rows(2)
    order = np.random.default_rng(0).permutation(len(item))
    one = build_log(random_events(1), attributes=(item, time, value))
    other = build_log(random_events(1), attributes=(item[order], time[order], value[order]))
    np.testing.assert_array_equal(one.attribute_value, other.attribute_value)


def test_stored_log_is_the_same_and_cannot_be_changed_on_disk(tmp_path):
    log = build_log(random_events(5), attributes=attribute_rows(5), listed=np.arange(25) * DAY)
    save(log, tmp_path)
    opened = open_log(tmp_path)
    for name in log._fields:
        np.testing.assert_array_equal(getattr(opened, name), getattr(log, name), err_msg=name)
    opened.event_time[:] = 0
    np.testing.assert_array_equal(open_log(tmp_path).event_time, log.event_time)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is in memory")
def test_a_mapped_log_gives_its_memory_back_and_is_read_again(tmp_path):
    log = build_log(random_events(6, 400))
    save(log, tmp_path)
    opened = open_log(tmp_path)
    assert all(column.sum() or True for column in opened)  # reads them through
    assert resident(tmp_path) > 4 * len(log._fields) - 4  # at least a page of each
    let_go(opened)
    let_go(log)  # which is not mapped
    assert resident(tmp_path) == 0
    np.testing.assert_array_equal(opened.tape_state, log.tape_state)


def resident(folder: Path) -> int:
    """KiB of the files of a folder that this process holds in memory."""
    found = re.findall(rf"{re.escape(str(folder))}/.*?^Rss: +(\d+) kB", Path("/proc/self/smaps").read_text(), re.M | re.S)
    return sum(map(int, found))
