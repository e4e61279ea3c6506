"""Losses against double loops over their definitions."""

from __future__ import annotations

from math import exp, isinf, log, log1p, log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from timerec.training.losses import ORDER, SOFTMAX, joint_loss, lambda_loss, order_loss, softmax_loss


def case(seed, requests=5, width=12, most=4):
    """Scores without ties, padding at the end, up to `most` targets a request, in one request none."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(requests, width, generator=generator) * 3
    real = torch.randint(most + 2, width + 1, (requests,), generator=generator)
    mask = torch.arange(width) < real[:, None]
    target = torch.rand(requests, width, generator=generator).argsort(1) < torch.randint(
        1, most + 1, (requests, 1), generator=generator
    )
    target[0] = False
    log_weight = torch.rand(requests, width, generator=generator) * (torch.rand(requests, width, generator=generator) < 0.4)
    return scores.masked_fill(~mask, -torch.inf), target & mask, log_weight * mask


def pairwise(scores, target):
    """Swap weight |1/log2(1 + r_i) - 1/log2(1 + r_j)| over the ideal DCG@10, times log(1 + exp(s_j - s_i)), one request."""
    real = [j for j, score in enumerate(scores) if not isinf(score)]
    rank = {j: 1 + sum(scores[k] > scores[j] for k in real) for j in real}
    wanted = [j for j in real if target[j]]
    ideal = sum(1 / log2(place + 1) for place in range(1, min(len(wanted), 10) + 1)) or 1
    total = 0.0
    for i in wanted:
        for j in set(real) - set(wanted):
            change = abs(1 / log2(1 + rank[i]) - 1 / log2(1 + rank[j]))
            total += change * log1p(exp(scores[j] - scores[i]))
    return total / ideal


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_pairwise_loss(seed):
    scores, target, _ = case(seed)
    expected = sum(map(pairwise, scores.tolist(), target.tolist())) / len(scores)
    assert float(lambda_loss(scores, target, torch.zeros_like(scores))) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_pairwise_loss_of_many_targets_uses_the_gain_of_ten():
    scores, target, _ = case(1, requests=3, width=40, most=18)
    expected = sum(map(pairwise, scores.tolist(), target.tolist())) / 3
    assert float(lambda_loss(scores, target, torch.zeros_like(scores))) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_softmax_loss_counts_a_sampled_item_for_all_it_stands_for(seed):
    scores, target, log_weight = case(seed)
    total = 0.0
    for score, wanted, weight in zip(scores.tolist(), target.tolist(), log_weight.tolist(), strict=True):
        whole = log(sum(exp(s + w) for s, w in zip(score, weight, strict=True) if not isinf(s)))
        mine = [whole - s - w for s, w, y in zip(score, weight, wanted, strict=True) if y]
        total += sum(mine) / len(mine) if mine else 0.0
    assert float(softmax_loss(scores, target, log_weight)) == pytest.approx(total / len(scores), rel=1e-4)


def test_a_negative_drawn_for_n_counts_as_n_copies():
    scores, target = torch.tensor([[1.0, 0.5, -1.0]]), torch.tensor([[True, False, False]])
    copies = torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.5, -1.0]])
    wide = torch.tensor([[True] + [False] * 5])
    weighted = softmax_loss(scores, target, torch.tensor([[0.0, log(4), 0.0]]))
    assert float(weighted) == pytest.approx(float(softmax_loss(copies, wide, torch.zeros(1, 6))), rel=1e-5)


def test_a_candidate_kept_for_n_is_ranked_as_n_copies():
    scores, target = torch.tensor([[1.0, 2.0, 0.5, -1.0]]), torch.tensor([[True, False, False, True]])
    copies = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.5, -1.0]])
    log_weight = torch.tensor([[0.0, log(3), 0.0, 0.0]])
    # copies with equal scores share the places 1 to 3; the one that stands for them has the first
    discount = {"taken": 1 / log2(2 + 3), "three": 1.0, "low": 1 / log2(2 + 4), "last": 1 / log2(2 + 5)}
    ideal = 1 + 1 / log2(3)
    expected = 0.0
    for target_score, gain in ((1.0, "taken"), (-1.0, "last")):
        expected += 3 * abs(discount[gain] - discount["three"]) * log1p(exp(2.0 - target_score))
        expected += abs(discount[gain] - discount["low"]) * log1p(exp(0.5 - target_score))
    assert float(lambda_loss(scores, target, log_weight)) == pytest.approx(expected / ideal, rel=1e-5)
    assert copies.numel() == int(log_weight.exp().sum())


def test_a_candidate_that_is_there_for_another_loss_is_not_ranked():
    scores, target, _ = case(5, requests=3)
    log_weight = torch.zeros_like(scores)
    log_weight[:, 2] = -torch.inf
    target[:, 2] = False
    rest = [0, 1, *range(3, 12)]
    expected = lambda_loss(scores[:, rest], target[:, rest], log_weight[:, rest])
    torch.testing.assert_close(lambda_loss(scores, target, log_weight), expected)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_order_loss_compares_each_taken_with_each_drawn(seed):
    scores, target, _ = case(seed)
    drawn = torch.isfinite(scores) & (torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)) < 0.5)
    total = 0.0
    for score, wanted, negative in zip(scores.tolist(), target.tolist(), drawn.tolist(), strict=True):
        places = range(len(score))
        pairs = [(i, j) for i in places for j in places if wanted[i] and negative[j] and not wanted[j]]
        total += sum(log1p(exp(score[j] - score[i])) for i, j in pairs) / max(len(pairs), 1)
    assert float(order_loss(scores, target, drawn)) == pytest.approx(total / len(scores), rel=1e-4, abs=1e-6)


def test_joint_loss_ranks_the_standard_candidates_alone():
    scores, target, log_weight = case(7)
    standard = torch.isfinite(scores) & (torch.arange(12) < 6)
    drawn = torch.isfinite(scores) & ~standard
    inside = lambda_loss(scores[:, :6].masked_fill(~standard[:, :6], -torch.inf), target[:, :6], log_weight[:, :6])
    expected = inside + SOFTMAX * softmax_loss(scores, target, log_weight) + ORDER * order_loss(scores, target, drawn)
    torch.testing.assert_close(joint_loss(scores, target, drawn, log_weight, standard), expected)


def test_losses_fall_as_targets_rise_and_have_finite_gradients():
    scores, target, log_weight = case(3)
    standard = torch.isfinite(scores)
    log_weight[:, 1] = -torch.inf
    target[:, 1] = False
    values = []
    for lift in (0.0, 1.0, 5.0):
        raised = (scores + lift * target).requires_grad_()
        loss = joint_loss(raised, target, standard & ~target, log_weight, standard)
        loss.backward()
        assert torch.isfinite(raised.grad).all()
        values.append(float(loss.detach()))
    assert values[0] > values[1] > values[2]
