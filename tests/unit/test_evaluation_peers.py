"""The learnt peers on small logs; without their packages the sentence says what to install."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tests.unit.core_cases import SPAN, START, build_log, random_events, sources_of, state_of
from tests.unit.evaluation_cases import N_ITEMS, N_USERS, TEST, random_log, requests_of
from timerec.candidates import batch
from timerec.config import TrainConfig
from timerec.evaluation.baselines import History
from timerec.evaluation.peers import lightgbm, needed
from timerec.evaluation.peers.als import ALS
from timerec.evaluation.protocol import Pairs, sample_requests
from timerec.schema import DataError
from timerec.training.requests import between


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(DataError, match=r"pip install 'timerec\[peers\]'"):
        needed("lightgbm")


def test_als_solves_the_user_from_the_history_before_the_request():
    pytest.importorskip("implicit")
    log = random_log(7)
    requests = requests_of(log, 30)
    baseline = ALS()
    params = {"factors": 8.0, "regularisation_weight": 0.1, "confidence_weight": 2.0}
    baseline.fit(History(*log, N_USERS, N_ITEMS, True), TEST, **params)
    items = baseline._model.item_factors.astype(np.float64)
    ranked = baseline.recommend(requests, 5)
    row, item = (x.ravel() for x in np.indices((len(requests), N_ITEMS)))
    scored = baseline.score(requests, Pairs(row, item.astype(np.int32), np.zeros(len(row), np.int8)))
    for r in range(len(requests)):
        mine = (log.user == requests.user[r]) & (log.time < requests.time[r])
        counts = np.bincount(log.item[mine], minlength=N_ITEMS)
        confidence = np.where(counts > 0, 1 + 2 * np.log1p(counts), 0)
        # (Y'Y + Y'(C - I)Y + lambda I) x = Y'C p, C = confidence where taken and 1 elsewhere
        gram = items.T @ items + items.T @ (np.maximum(confidence - 1, 0)[:, None] * items) + 0.1 * np.eye(8)
        expected = items @ np.linalg.solve(gram, items.T @ confidence)
        shown = ranked[r][ranked[r] >= 0]
        offered = np.flatnonzero(baseline.available <= requests.time[r])
        np.testing.assert_allclose(expected[shown], np.sort(expected[offered])[::-1][: len(shown)], rtol=0.02, atol=0.02)
        order = np.argsort(scored.reshape(-1, N_ITEMS)[r], kind="stable")
        assert (np.diff(expected[order]) > -0.02).all()


def test_lambdarank_learns_from_own_candidates_before_the_cut_and_ranks_them(monkeypatch):
    pytest.importorskip("lightgbm")
    monkeypatch.setattr(lightgbm, "TREES", 8)
    log = build_log(random_events(1, 900))
    state = state_of(sources_of(log))
    val_from, test_from = START + SPAN * 6 // 10, START + SPAN * 8 // 10
    user = np.repeat(np.arange(log.n_users, dtype=np.int32), log.user_size)
    events = (user, log.event_item, log.event_time)
    val = sample_requests(*events, start=val_from, end=test_from, cut=val_from, n=50, seed=0)
    test = sample_requests(*events, start=test_from, end=START + SPAN, cut=test_from, n=40, seed=0)
    seen: list[int] = []
    build = batch.build

    def watched(*arguments, **more):
        seen.append(int(arguments[4].max()))
        return build(*arguments, **more)

    monkeypatch.setattr(lightgbm.batch, "build", watched)
    ranker = lightgbm.LambdaRank(state, TrainConfig(), 1)
    best = ranker.tune(val, val_from, test_from, 5)
    assert max(seen) < test_from
    assert 1 <= best["trees"] <= 8 and len(ranker.tried) == len(lightgbm.GRID)
    start = np.arange(len(test) + 1) * 2
    pairs = np.tile(np.array([3, 24], np.int32), len(test))
    ranked, scores = ranker.answer(test, 5, start, pairs)
    alone, _ = ranker.answer(test, 5)
    assert np.array_equal(ranked, alone) and (ranked[:, 0] >= 0).all()
    again = ranker.answer(test, 0, start, ranked[:, [0, 1]].ravel())[1].reshape(-1, 2)
    assert (again[:, 0] >= again[:, 1]).all() and np.isfinite(scores).all()


def test_rows_hold_what_was_taken_and_some_others(monkeypatch):
    monkeypatch.setattr(lightgbm, "NEGATIVES", 4)
    log = build_log(random_events(1, 900))
    state = state_of(sources_of(log))
    requests = between(log, state.first_known(), START + SPAN // 2, START + SPAN, True)
    ranker = lightgbm.LambdaRank(state, TrainConfig(), 1)
    some, whole = ranker.rows(requests, np.random.default_rng(0)), ranker.rows(requests, None)
    assert some.size.sum() == len(some.label) == len(some.features)
    assert whole.label.sum() == some.label.sum() > 0
    row = np.repeat(np.arange(len(some.size)), some.size)
    taken = np.bincount(row, weights=some.label)
    assert (taken > 0).all() and (some.size - taken <= 4).all() and (whole.size >= some.size).all()
    assert some.features.shape[1] == state.layout.width + len(state.layout.context)
