"""Requests, truth and negatives against a plain reading of their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation_cases import END, N_ITEMS, N_USERS, TEST, random_log
from timerec.evaluation.protocol import NEVER, Requests, known_from, negatives, sample_requests
from timerec.schema import DataError


def by_hand(log, start, end, cut, n, seed, key, catalogue, listed):
    """All requests as (user, time, truth, history, known user), in Python's own types."""
    events = [e for e in zip(*(x.tolist() for x in log), strict=True) if e[2] < end]
    first = {i: min(t for _, j, t in events if j == i) for _, i, _ in events}

    def known(i, t):
        if catalogue == "static":
            return first.get(i, NEVER) < cut or listed[i] <= cut
        return first.get(i, NEVER) < t or listed[i] <= t

    if catalogue == "static":
        events = [e for e in events if known(e[1], cut)]
    keys = sorted({(key[u], u, t) for u, _, t in events if t >= start})
    picked = sorted(np.random.default_rng(seed).permutation(len(keys))[:n].tolist())
    out, empty = [], 0
    for _, u, t in sorted((keys[p] for p in picked), key=lambda request: request[2]):
        truth = sorted({j for v, j, s in events if v == u and s == t and known(j, t)})
        empty += not truth
        if truth:
            history = sum(v == u and s < t for v, _, s in events)
            out.append((u, t, truth, history, any(v == u and s < cut for v, _, s in zip(*log, strict=True))))
    return out, len(keys), empty


@pytest.mark.parametrize("catalogue", ["live", "static"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_requests_are_those_of_the_definition(catalogue, seed):
    log = random_log(seed)
    key = np.random.default_rng(seed).permutation(N_USERS) * 10
    listed = np.full(N_ITEMS, NEVER)
    listed[-2:] = TEST + 500, TEST - 500
    cut = TEST - 300  # items and users appear between the cut and the start as well; events lie at the end itself
    got = sample_requests(
        *log, start=TEST, end=END - 201, cut=cut, n=60, seed=9, user_key=key, catalogue=catalogue, listed=listed
    )
    expected, total, empty = by_hand(log, TEST, END - 201, cut, 60, 9, key.tolist(), catalogue, listed.tolist())
    rows = [
        (int(got.user[r]), int(got.time[r]), got.truth_item[got.truth_start[r] : got.truth_start[r + 1]].tolist(),
         int(got.n_history[r]), bool(got.user_known[r]))
        for r in range(len(got))
    ]  # fmt: skip
    assert rows == expected
    assert (got.n_total, got.n_without_truth) == (total, empty)
    assert got.truth_item.dtype == np.int32
    assert len(got) > 20


def test_the_sample_does_not_depend_on_the_numbering_of_users():
    log = random_log(3)
    number = np.random.default_rng(0).permutation(N_USERS)
    renumbered = number[log.user]
    order = np.lexsort((log.item, log.time, renumbered))
    key = np.empty(N_USERS, np.int64)
    key[number] = np.arange(N_USERS)
    rules = {"start": TEST, "end": END, "cut": TEST, "n": 50, "seed": 1}
    one = sample_requests(*log, **rules)
    two = sample_requests(renumbered[order].astype(np.int32), log.item[order], log.time[order], user_key=key, **rules)
    assert np.array_equal(one.user, key[two.user])
    assert np.array_equal(one.truth_item, two.truth_item)


def test_share_of_lost_truth():
    user, time = np.array([0, 0, 1, 1, 1], np.int32), np.array([1, 20, 2, 20, 20])
    item = np.array([0, 1, 0, 0, 2], np.int32)  # at 20: item 1 and 2 are new, item 0 is known
    rules = {"start": 10, "end": 30, "cut": 10, "n": 9, "seed": 0}
    for catalogue in ("live", "static"):
        got = sample_requests(user, item, time, catalogue=catalogue, **rules)
        assert got.truth_lost_share == pytest.approx(2 / 3)
        assert (got.user.tolist(), got.truth_item.tolist()) == ([1], [0])
    assert sample_requests(user, item, time, catalogue="live", **rules).n_without_truth == 1


def test_a_span_without_requests_is_a_fault_of_the_data():
    log = random_log(0)
    with pytest.raises(DataError, match="column 'timestamp': no request from 20000 to 30000"):
        sample_requests(*log, start=20_000, end=30_000, cut=TEST, n=9, seed=0)


def test_keep_truth_leaves_out_requests_without_any():
    requests = Requests(
        np.array([4, 5, 6], np.int32), np.array([1, 2, 3]), np.array([0, 2, 3, 5]), np.array([1, 2, 1, 3, 4], np.int32),
        np.zeros(3, np.int64), np.ones(3, bool),
    )  # fmt: skip
    part, rows = requests.keep_truth(np.array([True, False, False, True, True]))
    assert rows.tolist() == [0, 2]
    assert part.user.tolist() == [4, 6]
    assert part.truth_start.tolist() == [0, 1, 3]
    assert part.truth_item.tolist() == [1, 3, 4]


@pytest.mark.parametrize("repeats", [True, False])
def test_negatives_are_on_offer_and_neither_truth_nor_taken(repeats):
    log = random_log(4)
    requests = sample_requests(*log, start=TEST, end=END, cut=TEST, n=40, seed=0)
    available = known_from(log.item, log.time, N_ITEMS, cut=TEST)
    popularity = np.bincount(log.item[log.time < TEST], minlength=N_ITEMS).astype(float)
    pairs = negatives(requests, *log, available=available, popularity=popularity, repeats=repeats, seed=2, n=400)
    assert np.all(np.diff(pairs.request) >= 0)
    for r in range(len(requests)):
        mine = pairs.request == r
        truth = set(requests.truth_item[requests.truth_start[r] : requests.truth_start[r + 1]].tolist())
        past = (log.user == requests.user[r]) & (log.time < requests.time[r])
        refused = truth | (set() if repeats else set(log.item[past].tolist()))
        assert set(pairs.item[mine & (pairs.kind == 0)].tolist()) == truth
        for kind in (1, 2):
            drawn = pairs.item[mine & (pairs.kind == kind)]
            allowed = [i for i in range(N_ITEMS) if i not in refused and available[i] <= requests.time[r]]
            if kind == 1:
                assert set(drawn.tolist()) == set(allowed)  # 400 draws of at most 24 items miss none
            else:
                allowed = [i for i in allowed if popularity[i]]
                assert set(drawn.tolist()) <= set(allowed)
            assert len(drawn) == (400 if allowed else 0)


def test_popularity_negatives_follow_the_popularity():
    popularity = np.array([10.0, 30.0, 60.0, 0.0])
    requests = Requests(
        np.array([-1], np.int32), np.array([100]), np.array([0, 1]), np.array([3], np.int32), np.zeros(1, np.int64),
        np.zeros(1, bool),
    )  # fmt: skip
    nothing = np.zeros(0, np.int32)
    pairs = negatives(
        requests, nothing, nothing, np.zeros(0, np.int64), available=np.zeros(4, np.int64), popularity=popularity,
        repeats=False, seed=0, n=10_000,
    )  # fmt: skip
    for kind, share in ((1, [1 / 3] * 3), (2, [0.1, 0.3, 0.6])):
        drawn = np.bincount(pairs.item[pairs.kind == kind], minlength=3)
        assert np.abs(drawn / 10_000 - share).max() < 0.02
