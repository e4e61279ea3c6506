"""Metrics against loops that follow their definitions, and against scikit-learn."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from timerec.evaluation import metrics


def by_hand(ranked, truth, k):
    """NDCG, Recall, HR, MRR, MAP at k of one request."""
    places, seen = [], set()
    for place, one in enumerate(ranked[:k], 1):
        if one in truth and one not in seen:
            places.append(place)
        seen.add(one)
    ideal = sum(1 / log2(place + 1) for place in range(1, min(len(truth), k) + 1))
    return {
        f"ndcg@{k}": sum(1 / log2(place + 1) for place in places) / ideal,
        f"recall@{k}": len(places) / len(truth),
        f"hr@{k}": float(bool(places)),
        f"mrr@{k}": 1 / places[0] if places else 0.0,
        f"map@{k}": sum((n + 1) / place for n, place in enumerate(places)) / min(len(truth), k),
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(0, 3))
def test_ranking_metrics_follow_their_definitions(seed, k, spare):
    rng = np.random.default_rng(seed)
    truths = [np.sort(rng.permutation(12)[: rng.integers(1, 12)]) for _ in range(9)]
    ranked = rng.integers(-1, 12, (9, k + spare)).astype(np.int32)  # repeats and empty places included
    start = np.cumsum([0] + [len(truth) for truth in truths])
    got = metrics.ranking_metrics(ranked, start, np.concatenate(truths).astype(np.int32), k)
    for row in range(9):
        for name, value in by_hand(ranked[row].tolist(), set(truths[row].tolist()), k).items():
            assert got[name][row] == pytest.approx(value, abs=1e-12), name


def test_a_perfect_list_scores_one_even_if_the_truth_is_longer():
    ranked = np.arange(3, dtype=np.int32)[None]
    got = metrics.ranking_metrics(ranked, np.array([0, 5]), np.arange(5, dtype=np.int32), 3)
    assert got["ndcg@3"][0] == pytest.approx(1)
    assert got["map@3"][0] == 1
    assert got["recall@3"][0] == pytest.approx(3 / 5)


def test_what_cannot_be_judged_is_refused():
    truth = np.array([1], np.int32)
    with pytest.raises(ValueError, match="cannot be judged at 10"):
        metrics.ranking_metrics(np.zeros((1, 5), np.int32), np.array([0, 1]), truth)
    with pytest.raises(ValueError, match="without truth"):
        metrics.ranking_metrics(np.zeros((2, 5), np.int32), np.array([0, 1, 1]), truth, 5)
    with pytest.raises(ValueError, match="1 pairs have no score"):
        metrics.auc(np.zeros(2, np.int64), np.array([np.nan, 1.0]), np.array([True, False]), 1)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_auc_is_that_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    request = rng.integers(0, 6, 80)
    score = rng.integers(0, 7, 80).astype(float)  # many ties
    score[rng.random(80) < 0.1] = -np.inf
    label = rng.random(80) < 0.3
    got = metrics.auc(request, score, label, 7)
    for row in range(7):
        mine = request == row
        if label[mine].any() and not label[mine].all():
            finite = np.maximum(score[mine], -1)  # scikit-learn wants finite numbers
            assert got[row] == pytest.approx(roc_auc_score(label[mine], finite), abs=1e-12)
        else:
            assert np.isnan(got[row])


def test_what_lists_show():
    popularity = np.array([6.0, 1.0, 1.0, 0.0])
    ranked = np.array([[0, 1, 3], [0, -1, 2]], np.int32)
    assert metrics.coverage(ranked, 2, 4) == 2 / 4
    assert metrics.coverage(ranked, 3, 4) == 1
    # shares with one event added to each: 7/12, 2/12, 2/12, 1/12
    assert metrics.novelty(ranked, 2, popularity) == pytest.approx(-(2 * log2(7 / 12) + log2(2 / 12)) / 3)
    # percentiles: item 3 is below all (12.5), 1 and 2 share the middle half (50), 0 is above all (87.5)
    assert metrics.popularity_percentile(ranked, 2, popularity) == pytest.approx((87.5 * 2 + 50) / 3)
    assert np.isnan(metrics.novelty(np.full((1, 2), -1, np.int32), 2, popularity))
