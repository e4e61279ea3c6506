"""Losses of a request: all its items are targets among its candidates."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CUT = 10  # the ideal gain is that of NDCG@10
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


def lambda_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Pairwise logistic loss weighted by the change of NDCG when the pair is swapped (LambdaLoss, Wang et al. 2018).

    Args:
        scores: [B, C], -inf where padded; target: bool [B, C].
    """
    mask = torch.isfinite(scores)
    scores = scores.masked_fill(~mask, -1e4)
    with torch.no_grad():
        rank = scores.argsort(1, descending=True).argsort(1)
        discount = 1.0 / torch.log2(rank + 2.0)
        ideal = torch.cumsum(1.0 / torch.log2(torch.arange(CUT, device=scores.device) + 2.0), 0)
        best = ideal[target.sum(1).clamp(1, CUT) - 1]
    width = max(1, min(int(target.sum(1).max()), TARGETS))
    chosen = target.float().topk(width, 1)
    real = chosen.values > 0
    score, gain = scores.gather(1, chosen.indices), discount.gather(1, chosen.indices)
    weight = (gain[:, :, None] - discount[:, None, :]).abs()
    weight = weight * (real[:, :, None] & (mask & ~target)[:, None, :])
    loss = F.softplus(scores[:, None, :] - score[:, :, None]) * weight
    return (loss.sum((1, 2)) / best).mean()


def joint_loss(scores: Tensor, target: Tensor, log_weight: Tensor, standard: Tensor) -> Tensor:
    """Pairwise loss over the request's own candidates, and a fifth of the softmax over all that were scored.

    Only the request's own candidates are ranked when it is answered, so only they enter the pairwise loss: items scored because
    they were taken would otherwise count as typical of what is taken. The softmax, with its sampling correction, keeps scores
    comparable over the whole catalogue.

    Args:
        standard: bool [B, C] the request's own candidates.
    """
    pairwise = lambda_loss(scores.masked_fill(~standard, -torch.inf), target & standard)
    return pairwise + 0.2 * softmax_loss(scores, target, log_weight)
