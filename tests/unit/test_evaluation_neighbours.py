"""Item kNN, EASE and TIFU-KNN against their formulas written out, and a function of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation_cases import N_ITEMS, N_USERS, TEST, random_log, requests_of
from timerec.evaluation.baselines import Ease, EasePersonal, History, ItemKNN, TifuKNN, function_baseline, load_baseline
from timerec.evaluation.baselines.linear import LENGTH
from timerec.evaluation.baselines.tune import sample
from timerec.evaluation.protocol import Pairs, Requests
from timerec.schema import DataError


def taken(log):
    """Binary users x items of what came before the test."""
    x = np.zeros((N_USERS, N_ITEMS))
    past = log.time < TEST
    x[log.user[past], log.item[past]] = 1
    return x


def visits_of(log, user, t):
    """The user's baskets strictly before t, the latest first."""
    mine = (log.user == user) & (log.time < t)
    return [set(log.item[mine & (log.time == s)].tolist()) for s in sorted(set(log.time[mine].tolist()), reverse=True)]


def faded(log, user, t, visits):
    """Each item by the visits since it was last taken, as of the latest."""
    x = np.zeros(N_ITEMS)
    for back, basket in reversed(list(enumerate(visits_of(log, user, t)))):
        x[list(basket)] = 2 ** (-back / visits)
    return x


def counted(log, user, t, visits):
    """Each event by the visits since."""
    mine = (log.user == user) & (log.time < t)
    counts = np.zeros(N_ITEMS)
    seconds = sorted(set(log.time[mine].tolist()), reverse=True)
    for item, s in zip(log.item[mine], log.time[mine], strict=True):
        counts[item] += 2 ** (-seconds.index(s) / visits)
    return counts


def ease(log, user, t, p, repeats):
    past = log.time < TEST
    x = np.zeros((N_USERS, N_ITEMS))
    np.add.at(x, (log.user[past], log.item[past]), 1)
    x = np.log1p(x) if repeats else (x > 0).astype(float)
    inverse = np.linalg.inv(x.T @ x + p["l2_weight"] * np.eye(N_ITEMS))
    if not repeats:
        table = -inverse / np.diag(inverse)
        np.fill_diagonal(table, 0)
        return faded(log, user, t, p["visits"]) @ table
    return counted(log, user, t, p["visits"]) @ (np.eye(N_ITEMS) - p["l2_weight"] * inverse)


def ease_personal(log, user, t, p, repeats):
    mine = (log.user == user) & (log.time < t)
    own = np.zeros(N_ITEMS)
    np.add.at(own, log.item[mine], 2.0 ** (-(t - log.time[mine]) / p["half_life"]))
    return ease(log, user, t, p, repeats) + p["weight"] * own


def item_knn(log, user, t, p, repeats):
    x = taken(log)
    users, has = x.sum(0), x
    if repeats:
        x = np.zeros((N_USERS, N_ITEMS))
        np.add.at(x, (log.user[log.time < TEST], log.item[log.time < TEST]), 1)
        x = np.log1p(x)
    if p["bm25_weight"]:
        length = has.sum(1)
        known = (length > 0).sum()
        idf = np.log(np.maximum(known / (1 + users), 1))
        x = x / (1 - LENGTH + LENGTH * length / (length.sum() / known))[:, None] * idf
    else:
        x = x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    near = x.T @ x
    if not repeats:
        np.fill_diagonal(near, 0)
    for row in near:
        row[row < np.sort(row)[-int(p["neighbours"])] * (1 - 1e-6)] = 0
    return (counted if repeats else faded)(log, user, t, p["visits"]) @ near


def frequency(log, user, t, p):
    baskets = visits_of(log, user, t)
    vector = np.zeros(N_ITEMS)
    m = int(p["group"])
    groups = [baskets[first : first + m] for first in range(0, len(baskets), m)]
    for g, part in enumerate(groups):
        for place, basket in enumerate(part):
            vector[list(basket)] += p["within_weight"] ** place / len(part) * p["across_weight"] ** g / len(groups)
    return vector


def tifu(log, user, t, p, repeats):
    own = frequency(log, user, t, p)
    others = np.array([frequency(log, v, TEST, p) for v in range(N_USERS)])
    near = others @ own / np.maximum(np.linalg.norm(others, axis=1), 1e-12)
    near[user] = 0
    order = [v for v in np.argsort(-near, kind="stable")[: int(p["neighbours"])] if near[v] > 0]
    return p["own_weight"] * own + (1 - p["own_weight"]) * (others[order].mean(0) if order else 0)


CASES = [
    (Ease, {"l2_weight": 3.0, "visits": 4.0}, ease),
    (lambda: EasePersonal(Ease()), {"l2_weight": 3.0, "visits": 1e9, "half_life": 2_000.0, "weight": 0.2}, ease_personal),
    (ItemKNN, {"bm25_weight": 0.0, "neighbours": 5.0, "visits": 2.0}, item_knn),
    (ItemKNN, {"bm25_weight": 1.0, "neighbours": 5.0, "visits": 1e9}, item_knn),
    (TifuKNN, {"group": 3.0, "within_weight": 0.8, "across_weight": 0.6, "own_weight": 0.6, "neighbours": 4.0}, tifu),
]


@pytest.mark.parametrize(("kind", "params", "formula"), CASES, ids=["ease", "ease_personal", "cosine", "bm25", "tifu"])
@pytest.mark.parametrize("repeats", [True, False])
def test_lists_and_scores_are_those_of_the_formula(kind, params, formula, repeats):
    log = random_log(7)
    requests = requests_of(log, 40)
    history = History(*log, N_USERS, N_ITEMS, repeats)
    baseline = kind()
    baseline.fit(history, TEST, **params)
    ranked = baseline.recommend(requests, 10)
    row, item = (x.ravel() for x in np.indices((len(requests), N_ITEMS)))
    pairs = Pairs(row, item.astype(np.int32), np.zeros(len(row), np.int8))
    scored = baseline.score(requests, pairs).reshape(len(requests), N_ITEMS)
    available = history.available(TEST)
    for r in range(len(requests)):
        user, t = int(requests.user[r]), int(requests.time[r])
        expected = formula(log, user, t, params, repeats)
        has = set() if repeats else set(history.before(user, t)[0].tolist())
        offered = [i for i in range(N_ITEMS) if available[i] <= t and i not in has]
        shown = [i for i in ranked[r].tolist() if i >= 0]
        assert set(shown) <= set(offered) and len(set(shown)) == min(10, len(offered))
        best = np.sort(expected[offered])[::-1][: len(shown)]
        assert expected[shown] == pytest.approx(best, rel=1e-4, abs=1e-6)
        order = np.argsort(scored[r], kind="stable")
        assert (np.diff(expected[order]) > -1e-5).all()


@pytest.mark.parametrize(("kind", "params", "formula"), CASES, ids=["ease", "ease_personal", "cosine", "bm25", "tifu"])
def test_nothing_at_or_after_the_request_is_read_and_company_does_not_matter(kind, params, formula):
    log = random_log(8)
    requests = requests_of(log, 25)
    baseline = kind()
    baseline.fit(History(*log, N_USERS, N_ITEMS, True), TEST, **params)
    together = baseline.recommend(requests, 10)
    for r in range(0, len(requests), 4):
        one = Requests(
            requests.user[r : r + 1], requests.time[r : r + 1], np.array([0, 1]), np.zeros(1, np.int32),
            requests.n_history[r : r + 1], requests.user_known[r : r + 1],
        )  # fmt: skip
        past = log.time < one.time[0]
        alone = kind()
        alone.fit(History(log.user[past], log.item[past], log.time[past], N_USERS, N_ITEMS, True), TEST, **params)
        assert alone.recommend(one, 10).tolist() == [together[r].tolist()]


def test_strangers_get_what_is_popular():
    log = random_log(7)
    some = requests_of(log, 5)
    requests = Requests(np.full(5, -1, np.int32), some.time, some.truth_start, some.truth_item, some.n_history, some.user_known)
    history = History(*log, N_USERS, N_ITEMS, True)
    popular = np.argsort(-history.popularity(TEST), kind="stable")[:3]
    for kind, params, _ in CASES:
        baseline = kind()
        baseline.fit(history, TEST, **params)
        assert (baseline.recommend(requests, 3) == popular).all()


def test_a_sample_keeps_requests_whole():
    requests = requests_of(random_log(7), 40)
    some = sample(requests, 10)
    assert len(some) == 10
    for r in range(10):
        at = np.flatnonzero((requests.user == some.user[r]) & (requests.time == some.time[r]))[0]
        truth = requests.truth_item[requests.truth_start[at] : requests.truth_start[at + 1]]
        assert some.truth_item[some.truth_start[r] : some.truth_start[r + 1]].tolist() == truth.tolist()
    assert sample(requests, 40) is requests


def latest(history, requests, k):
    out = np.full((len(requests), k), -1)
    for r, (user, time) in enumerate(zip(requests.user, requests.time, strict=True)):
        items = list(dict.fromkeys(history.before(user, time)[0][::-1].tolist()))[:k]
        out[r, : len(items)] = items
    return out


def test_a_function_is_a_baseline():
    log = random_log(7)
    requests = requests_of(log, 20)
    baseline = function_baseline("latest", latest)
    baseline.fit(History(*log, N_USERS, N_ITEMS, True), TEST)
    ranked = baseline.recommend(requests, 4)
    row, item = (x.ravel() for x in np.indices((len(requests), N_ITEMS)))
    scored = baseline.score(requests, Pairs(row, item.astype(np.int32), np.zeros(len(row), np.int8)))
    for r in range(len(requests)):
        mine = (log.user == requests.user[r]) & (log.time < requests.time[r])
        expected = list(dict.fromkeys(log.item[mine][::-1].tolist()))
        assert ranked[r].tolist() == (expected + [-1] * 4)[:4]
        values = scored.reshape(-1, N_ITEMS)[r]
        assert (np.diff(values[expected]) < 0).all() and (values[expected] > 0).all()
        assert (np.delete(values, expected) == 0).all()


def test_a_function_sees_no_truth_and_may_not_read_the_future():
    log = random_log(7)
    requests = requests_of(log, 20)
    history = History(*log, N_USERS, N_ITEMS, True)

    def cheat(history, requests, k):
        most = np.bincount(history.item, minlength=history.n_items) * np.arange(history.n_items) ** 3
        assert not len(requests.truth_item)
        return np.tile(np.argsort(-most)[:k], (len(requests), 1))

    for function, words in [
        (cheat, "taken away"),
        (lambda h, r, k: np.zeros((len(r), k + 1), int), "whole numbers of shape"),
        (lambda h, r, k: np.full((len(r), k), 99), "gave item 99"),
        (lambda h, r, k: 1 / 0, "ZeroDivisionError"),
    ]:
        baseline = function_baseline("mine", function)
        baseline.fit(history, TEST)
        with pytest.raises(DataError, match=words):
            baseline.recommend(requests, 5)


def test_functions_are_found_by_name():
    assert load_baseline("tests.unit.test_evaluation_neighbours:latest").name == "latest"
    for place in ("latest", "no_such_module:x", "tests.unit.test_evaluation_neighbours:nothing", "json:__doc__"):
        with pytest.raises(DataError, match="baseline"):
            load_baseline(place)
