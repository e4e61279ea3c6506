"""Losses of a request: all its items are targets among its candidates."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CUT = 10  # the ideal gain is that of NDCG@10
SOFTMAX, ORDER = 0.2, 4.0  # weights beside the pairwise loss
TARGETS = 24  # most targets of a request that enter the pairwise loss


def softmax_loss(scores: Tensor, target: Tensor, log_weight: Tensor) -> Tensor:
    """Cross-entropy over the candidates with the sampling correction, mean over requests.

    Args:
        scores: [B, C], -inf where padded; target: bool [B, C].
        log_weight: [B, C] log of how many items a candidate stands for (sampled negatives; 0 for the others).
    """
    share = target.float() / target.sum(1, keepdim=True).clamp(min=1)
    log_probability = F.log_softmax(scores + log_weight, 1)
    return -(share * log_probability.masked_fill(~target, 0.0)).sum(1).mean()


def lambda_loss(scores: Tensor, target: Tensor, log_weight: Tensor) -> Tensor:
    """Pairwise logistic loss weighted by the change of NDCG when the pair is swapped (LambdaLoss, Wang et al. 2018).

    Args:
        scores: [B, C], -inf where padded; target: bool [B, C].
        log_weight: [B, C] log of how many candidates one stands for: a sample of them is ranked as if all were there.
    """
    mask = torch.isfinite(scores)
    scores = scores.masked_fill(~mask, -1e4)
    with torch.no_grad():
        stands = log_weight.exp() * mask
        order = scores.argsort(1, descending=True)
        ahead = stands.gather(1, order).cumsum(1)
        rank = torch.zeros_like(ahead).scatter_(1, order, ahead) - stands  # those better, without the candidate itself
        discount = 1.0 / torch.log2(rank + 2.0)
        ideal = torch.cumsum(1.0 / torch.log2(torch.arange(CUT, device=scores.device) + 2.0), 0)
        best = ideal[target.sum(1).clamp(1, CUT) - 1]
    width = max(1, min(int(target.sum(1).max()), TARGETS))
    chosen = target.float().topk(width, 1)
    real = chosen.values > 0
    score, gain = scores.gather(1, chosen.indices), discount.gather(1, chosen.indices)
    weight = (gain[:, :, None] - discount[:, None, :]).abs()
    weight = weight * (real[:, :, None] * (stands * ~target)[:, None, :])
    loss = F.softplus(scores[:, None, :] - score[:, :, None]) * weight
    return (loss.sum((1, 2)) / best).mean()


def order_loss(scores: Tensor, target: Tensor, drawn: Tensor) -> Tensor:
    """Pairwise logistic loss between what was taken and what was drawn, all pairs alike: a smooth 1 - AUC.

    Args:
        scores: [B, C], -inf where padded; target, drawn: bool [B, C].
    """
    width = max(1, min(int(target.sum(1).max()), TARGETS))
    chosen = target.float().topk(width, 1)
    score = scores.gather(1, chosen.indices).masked_fill(chosen.values == 0, 0.0)
    weight = (chosen.values > 0)[:, :, None] & (drawn & ~target)[:, None, :]
    loss = F.softplus(scores.masked_fill(~drawn, 0.0)[:, None, :] - score[:, :, None]) * weight
    return (loss.sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)).mean()


def joint_loss(scores: Tensor, target: Tensor, drawn: Tensor, log_weight: Tensor, standard: Tensor) -> Tensor:
    """Pairwise loss over the request's own candidates, and in smaller parts what keeps the rest of the catalogue in order.

    Only the request's own candidates are ranked when it is answered, so only they enter the pairwise loss: items scored because
    they were taken would otherwise count as typical of what is taken. The softmax, with its sampling correction, keeps scores
    comparable over the whole catalogue, and the order loss sets what is taken before what is drawn, popular or not.

    Args:
        standard: bool [B, C] the request's own candidates.
    """
    pairwise = lambda_loss(scores.masked_fill(~standard, -torch.inf), target & standard, log_weight)
    return pairwise + SOFTMAX * softmax_loss(scores, target, log_weight) + ORDER * order_loss(scores, target, drawn)
