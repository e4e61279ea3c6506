"""Lists, scores and explanations of one engine agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.core_cases import START, attribute_rows, build_log, joint_model, random_events, sources_of, state_of
from timerec.clock import DAY
from timerec.engine import REQUESTS, Engine


@pytest.fixture(scope="module", params=["concat", "gated"])
def engine(request):
    log = build_log(random_events(1, 500), attributes=attribute_rows(1))
    return Engine(state_of(sources_of(log)), joint_model(log, request.param))


def asked(n):
    rng = np.random.default_rng(2)
    return rng.integers(-1, 12, n).astype(np.int32), START + rng.integers(10, 60, n) * DAY


def test_lists_are_sorted_and_hold_each_item_once(engine):
    items, scores = engine.rank(*asked(REQUESTS + 9), 40)  # more than there are candidates
    for row, score in zip(items, scores, strict=True):
        found = row[row >= 0]
        assert len(found) == len(set(found)) > 10
        assert (np.diff(score[: len(found)]) <= 0).all()
        assert (row[len(found) :] == -1).all()
        assert np.isneginf(score[len(found) :]).all()


def test_scores_of_pairs_are_those_of_the_lists(engine):
    users, times = asked(REQUESTS + 9)  # over the border of a batch
    items, scores = engine.rank(users, times, 6)
    start = np.arange(len(users) + 1) * 6
    again = engine.score(users, times, start, items.ravel())
    np.testing.assert_allclose(again.reshape(scores.shape), scores, atol=1e-5)


def test_lists_and_scores_of_one_pass_are_those_of_two(engine):
    users, times = asked(REQUESTS + 9)
    rng = np.random.default_rng(4)
    start = np.concatenate([[0], np.cumsum(rng.integers(0, 9, len(users)))])
    pairs = rng.integers(0, 25, start[-1]).astype(np.int32)
    items, scores, found = engine.answer(users, times, 5, start, pairs)
    alone, their_scores = engine.rank(users, times, 5)
    assert np.array_equal(items, alone)
    np.testing.assert_allclose(scores, their_scores, atol=1e-5)
    np.testing.assert_allclose(found, engine.score(users, times, start, pairs), atol=1e-5)


def test_pairs_may_repeat_and_requests_may_have_none(engine):
    users, times = asked(3)
    one = engine.score(users, times, np.array([0, 2, 2, 5]), np.array([7, 7, 3, 24, 3], np.int32))
    assert one[0] == one[1]
    assert one[2] == one[4] != one[3]


def test_explanations_sum_to_score_minus_baseline(engine):
    users, times = asked(9)
    items, scores = engine.rank(users, times, 4)
    found = engine.explain(users, times, np.arange(10) * 4, items.ravel())
    np.testing.assert_allclose(found.score, scores.ravel(), atol=1e-5)
    np.testing.assert_allclose(found.values.sum(1), found.score - found.baseline, atol=1e-5)
    assert np.abs(found.values).max(0).min() > 1e-3  # every group has a say


def test_first_known_is_a_second_after_the_first_event_or_the_listing(engine):
    log, first = engine.state.log, engine.state.first_known()
    for item in range(25):
        times = log.occurrence_time[log.item_start[item] : log.item_start[item] + log.item_size[item]]
        assert first[item] == min([times.min() + 1] if len(times) else [2**62])


def test_model_gives_the_same_scores_in_other_company(engine):
    users, times = asked(20)
    start, pairs = np.arange(21), np.full(20, 3, np.int32)
    together = engine.score(users, times, start, pairs)
    alone = [engine.score(users[[r]], times[[r]], np.array([0, 1]), pairs[:1])[0] for r in range(20)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert torch.isfinite(torch.from_numpy(together)).all()
