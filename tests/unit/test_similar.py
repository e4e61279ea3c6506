"""Item-to-item weights: the closed form, snapshots in time, votes, and another order of the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.core_cases import START, build_batch, build_log, layout_of, random_events, snapshots, sources_of
from timerec.candidates import similar
from timerec.candidates.similar import FAST, RECENT, RIDGE, SLOW, STRETCH, Similar
from timerec.clock import DAY


def closed_form(events, moment, items=25):
    """EASE (Steck 2019) on the stretches of what came before: B = I - P / diag(P), P = (G + ridge I)^-1."""
    gram = np.zeros((items, items))
    for user in range(events.user.max() + 1):
        history = events.item[(events.user == user) & (events.time < moment)]
        for shift in (0, STRETCH // 2):
            for part in set((np.arange(len(history)) + shift) // STRETCH):
                taken = np.zeros(items)
                taken[history[(np.arange(len(history)) + shift) // STRETCH == part]] = 1
                gram += np.outer(taken, taken) / 2
    inverse = np.linalg.inv(gram + RIDGE * np.eye(items))
    return np.where(np.eye(items) > 0, 0, -inverse / np.diag(inverse))


def dense(found: Similar, snapshot, items=25):
    out = np.zeros((items, items))
    for source in range(items):
        row = found.row[snapshot, source]
        for item, weight in zip(found.item[snapshot, row], found.weight[snapshot, row], strict=True):
            if row >= 0 and item >= 0:
                out[source, item] = weight
    return out


def test_weights_are_the_closed_form():
    events = random_events(1, 900)
    found = similar.fit(build_log(events), snapshots()[::-1])
    assert found.time.tolist() == sorted(snapshots())
    for s, moment in enumerate(found.time):
        np.testing.assert_allclose(dense(found, s), closed_form(events, moment), atol=2e-6)


def test_snapshots_see_nothing_at_or_after_their_time():
    events, moment = random_events(2, 600), START + 30 * DAY
    events.time[:5] = moment
    late = events.time >= moment
    one = similar.fit(build_log(events), np.array([moment]))
    for other in (events.where(~late), events.plus(random_events(8, 300, start=moment, span=DAY))):
        again = similar.fit(build_log(other), np.array([moment]))
        for name in Similar._fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(again, name), err_msg=name)


def test_a_snapshot_before_any_event_is_empty():
    found = similar.fit(build_log(random_events(2)), np.array([START - 1]))
    assert (found.row == -1).all()
    assert (found.item == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_votes_of_the_latest_events_by_the_newest_snapshot(seed):
    events = random_events(seed, 900)
    sources, names = sources_of(build_log(events), seed), layout_of(build_log(events)).names
    fast, slow = names.index("similar_fast"), names.index("similar_slow")
    for t in (snapshots()[0] - 1, snapshots()[0], snapshots()[1] - 1, snapshots()[1], START + 80 * DAY):
        for user in (0, 7):
            built = build_batch(sources, layout_of(sources.log), [user], [t], [list(range(25))])
            held = [moment for moment in snapshots() if moment <= t]
            weights = closed_form(events, held[-1]) if held else np.zeros((25, 25))
            latest = events.item[(events.user == user) & (events.time < t)][::-1][:RECENT]
            for column, decay in ((fast, FAST), (slow, SLOW)):
                expected = sum((decay**k * weights[item] for k, item in enumerate(latest)), np.zeros(25))
                np.testing.assert_allclose(built.features[0, :, column], expected[built.items[0]], atol=2e-5)


def test_items_that_nothing_speaks_for_take_no_room_among_the_touched():
    found = Similar(
        np.array([START]), np.array([[0, -1, -1, -1]], np.int32),
        np.array([[[1, 2, 3]]], np.int32), np.array([[[0.0, 0.0, 0.5]]], np.float32),
    )  # fmt: skip
    events = random_events(1, 60, users=1, items=1)
    log = build_log(events, users=1, items=4)
    score, touched = np.zeros((4, 6), np.float32), np.zeros(4, np.int32)
    known = int(log.user_size[0])
    met = similar.vote(log, found, 0, known, START + 70 * DAY, score, 4, touched, 0)
    assert touched[:met].tolist() == [3]
    assert score[3, 4] == pytest.approx(0.5 * (1 - FAST**known) / (1 - FAST), rel=1e-5)


def test_remap_keeps_every_weight_that_still_has_both_items():
    found = similar.fit(build_log(random_events(4, 900)), snapshots())
    place = np.random.default_rng(0).permutation(40)[:25]
    place[[3, 11]] = -1
    moved = similar.remap(found, place, 40)
    kept = np.flatnonzero(place >= 0)
    for s in range(2):
        expected = np.zeros((40, 40))
        expected[np.ix_(place[kept], place[kept])] = dense(found, s)[np.ix_(kept, kept)]
        np.testing.assert_array_equal(dense(moved, s, 40), expected)
        holes = np.diff((moved.item[s] < 0).astype(int), axis=1)
        assert (holes >= 0).all()  # the kernel stops at the first hole


def test_whole_histories_are_ease_of_users_by_items_and_all_events_vote_alike():
    events = random_events(7, 500)
    log = build_log(events)
    moment = START + 40 * DAY
    found = similar.fit(log, np.array([moment]), whole=True)
    past = events.time < moment
    taken = np.zeros((12, 25))
    taken[events.user[past], events.item[past]] = 1
    inverse = np.linalg.inv(taken.T @ taken + similar.RIDGE * np.eye(25))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    user, t = 3, START + 50 * DAY
    mine = events.item[(events.user == user) & (events.time < t)]
    score = np.zeros((25, 6), np.float32)
    touched = np.zeros(25, np.int32)
    similar.vote(log, found, log.user_start[user], len(mine), t, score, 4, touched, 0, 1)
    np.testing.assert_allclose(score[:, 4], weights[mine].sum(0), atol=1e-5)
    np.testing.assert_array_equal(score[:, 4], score[:, 5])
