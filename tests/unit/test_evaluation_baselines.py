"""Baselines against loops over the events strictly before each request."""

from __future__ import annotations

import itertools
from math import log2

import numpy as np
import pytest

from tests.unit.evaluation_cases import N_ITEMS, N_USERS, TEST, VAL, random_log, requests_of
from timerec.evaluation.baselines import (
    AllTimePopularity,
    DecayedPopularity,
    History,
    PersonalDecayed,
    PersonalFrequency,
    PersonalTrending,
    RecentPopularity,
    standard_baselines,
    tune,
)
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Pairs, Requests, known_from, sample_requests

LEAST = -1e9  # below every score


def all_time(past, user, t, params):
    return [0.0] * N_ITEMS


def recent(past, user, t, params):
    return [sum(i == j and s >= t - params["window"] for _, j, s in past) for i in range(N_ITEMS)]


def decay(times, t, half_life):
    return sum(2 ** (-(t - s) / half_life) for s in times)


def decayed(past, user, t, params):
    sums = [decay([s for _, j, s in past if i == j], t, params["half_life"]) for i in range(N_ITEMS)]
    return [log2(x) if x else LEAST for x in sums]


def personal(past, user, t, params):
    half_life = params.get("half_life", float("inf"))
    return [decay([s for v, j, s in past if i == j and v == user], t, half_life) for i in range(N_ITEMS)]


def trending(past, user, t, params):
    own = personal(past, user, t, params)
    heat = [decay([s for _, j, s in past if i == j], t, params["trend_half_life"]) for i in range(N_ITEMS)]
    return [x + params["weight"] * y / sum(heat) for x, y in zip(own, heat, strict=True)]


CASES = [
    (AllTimePopularity, {}, all_time),
    (RecentPopularity, {"window": 700.0}, recent),
    (DecayedPopularity, {"half_life": 900.0}, decayed),
    (PersonalFrequency, {}, personal),
    (PersonalDecayed, {"half_life": 1500.0}, personal),
    (PersonalTrending, {"half_life": 1500.0, "trend_half_life": 400.0, "weight": 5.0}, trending),
]


def by_hand(score, log, user, t, params, cut, available, repeats):
    """(score, popularity) of every item, and the items on offer from best to worst."""
    events = list(zip(*(x.tolist() for x in log), strict=True))
    past = [event for event in events if event[2] < t]
    value = [round(x, 8) for x in score(past, user, t, params)]
    popularity = [sum(i == j and s < cut for _, j, s in events) for i in range(N_ITEMS)]
    has = set() if repeats else {j for v, j, _ in past if v == user}
    offered = [i for i in range(N_ITEMS) if available[i] <= t and i not in has]
    return list(zip(value, popularity, strict=True)), sorted(offered, key=lambda i: (-value[i], -popularity[i], i))


@pytest.mark.parametrize(("kind", "params", "score"), CASES, ids=[case[0].name for case in CASES])
@pytest.mark.parametrize(("catalogue", "repeats"), [("live", True), ("static", False)])
def test_lists_and_scores_are_those_of_the_definition(kind, params, score, catalogue, repeats):
    log = random_log(7)
    some = requests_of(log, 60, catalogue)
    requests = Requests(
        np.where(np.arange(len(some)) % 9 == 4, -1, some.user).astype(np.int32), some.time[::-1].copy(),
        some.truth_start, some.truth_item, some.n_history, some.user_known,
    )  # fmt: skip  # unknown users, and times in no order
    history = History(*log, N_USERS, N_ITEMS, repeats, catalogue)
    baseline = kind()
    baseline.fit(history, TEST, **params)
    ranked = baseline.recommend(requests, 10)
    row, item = (x.ravel() for x in np.indices((len(requests), N_ITEMS)))
    shuffled = np.random.default_rng(0).permutation(len(row))
    pairs = Pairs(row[shuffled], item[shuffled].astype(np.int32), np.zeros(len(row), np.int8))
    scored = np.empty((len(requests), N_ITEMS))
    scored[pairs.request, pairs.item] = baseline.score(requests, pairs)
    available = known_from(log.item, log.time, N_ITEMS, cut=TEST, catalogue=catalogue)
    assert ranked.shape == (len(requests), 10)
    assert ranked.dtype == np.int32
    for r in range(len(requests)):
        keys, order = by_hand(score, log, int(requests.user[r]), int(requests.time[r]), params, TEST, available, repeats)
        assert ranked[r].tolist() == (order + [-1] * 10)[:10]
        by_key = sorted(range(N_ITEMS), key=lambda i: keys[i])
        if kind is AllTimePopularity:
            assert scored[r].tolist() == [key[1] for key in keys]
        steps = np.diff(scored[r][by_key])
        same = [keys[a] == keys[b] for a, b in itertools.pairwise(by_key)]
        assert np.array_equal(steps > 0, ~np.array(same))
        assert (steps >= 0).all()


@pytest.mark.parametrize(("kind", "params", "score"), CASES, ids=[case[0].name for case in CASES])
def test_nothing_at_or_after_the_request_is_read(kind, params, score):
    log = random_log(8)
    requests = requests_of(log, 25)
    for r in range(0, len(requests), 4):
        one = Requests(
            requests.user[r : r + 1], requests.time[r : r + 1], np.array([0, 1]), np.zeros(1, np.int32),
            requests.n_history[r : r + 1], requests.user_known[r : r + 1],
        )  # fmt: skip
        past = log.time < one.time[0]
        added = past | (np.random.default_rng(r).random(len(past)) < 0.5)
        changed = np.where(past, log.item, N_ITEMS - 1 - log.item).astype(np.int32)
        logs = [log, [x[past] for x in log], [log.user[added], changed[added], log.time[added]]]
        lists = []
        for user, item, time in logs:
            baseline = kind()
            baseline.fit(History(user, item, time, N_USERS, N_ITEMS, True), TEST, **params)
            lists.append(baseline.recommend(one, 10).tolist())
        assert lists[0] == lists[1] == lists[2]


def test_long_logs_neither_overflow_nor_lose_the_latest():
    scale = 40_000  # 12 years in units of half an hour: forward decay alone would overflow
    log = random_log(9, scale=scale)
    requests = requests_of(log, 40, scale=scale)
    params = {"half_life": 1800.0 * 200, "trend_half_life": 1800.0 * 100, "weight": 3.0}
    baseline = PersonalTrending()
    baseline.fit(History(*log, N_USERS, N_ITEMS, True), TEST * scale, **params)
    ranked = baseline.recommend(requests, 3)
    available = known_from(log.item, log.time, N_ITEMS, cut=0)
    for r in range(len(requests)):
        keys, order = by_hand(trending, log, int(requests.user[r]), int(requests.time[r]), params, TEST * scale, available, True)
        assert [keys[i][0] for i in ranked[r]] == [keys[i][0] for i in order[:3]]


def test_tuning_takes_the_best_of_validation_and_fits_up_to_the_test():
    log = random_log(10)
    history = History(*log, N_USERS, N_ITEMS, True)
    val = sample_requests(*log, start=VAL, end=TEST, cut=VAL, n=100, seed=0)
    baseline = RecentPopularity()
    baseline.grid = [{"window": float(window)} for window in (50, 300, 2_000, 9_000)]
    tuned = tune(baseline, history, val, val_cut=VAL, test_cut=TEST, k=5)
    expected = []
    for params in baseline.grid:
        other = RecentPopularity()
        other.fit(history, VAL, **params)
        ranked = other.recommend(val, 5)
        expected.append(ranking_metrics(ranked, val.truth_start, val.truth_item, 5)["ndcg@5"].mean())
    assert [value for _, value in tuned.tried] == pytest.approx(expected)
    assert len(set(expected)) == 4
    assert tuned.params == baseline.grid[int(np.argmax(expected))]
    assert baseline.window == tuned.params["window"]
    assert set(tuned.seconds) == {"tuning", "fit"} and min(tuned.seconds.values()) > 0
    assert np.array_equal(baseline.popularity, history.popularity(TEST))


def test_personal_baselines_are_left_out_where_nothing_is_taken_twice():
    always = ["popularity", "recent_popularity", "decayed_popularity", "item_knn", "ease"]
    own = ["personal_frequency", "personal_decayed", "personal_trending", "tifu_knn", "ease_personal"]
    assert [one.name for one in standard_baselines(repeats=True)] == always + own
    assert [one.name for one in standard_baselines(repeats=False)] == always
