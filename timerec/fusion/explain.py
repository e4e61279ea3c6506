"""Exact Shapley values of the four groups of inputs (Shapley 1953; Lundberg & Lee 2017): 16 passes of the head.

With v(S) the score when only the groups in S are known and the others stand at the average of the training data, the value of
group g is the weighted mean over all S without g of v(S + g) - v(S). The values sum to v(all) - v(none) whatever the head is.
"""

from __future__ import annotations

from itertools import combinations
from math import factorial

import torch
from torch import Tensor

from timerec.fusion.fuse import GROUPS, Fusion
from timerec.fusion.head import DenseHead


@torch.no_grad()
def shapley(fusion: Fusion, head: DenseHead, groups: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Shapley value [B, C] of each group, and the baseline score [B, C] with no group known.

    Args:
        groups: standardised inputs [B, C or 1, width] by group.
    """
    projected, direct = fusion.parts(groups)

    def score(known: frozenset[str]) -> Tensor:
        kept = {name: projected[name] * (name in known) for name in GROUPS}
        straight = {name: direct[name] * (name in known) for name in GROUPS}
        return head(*fusion.join(kept, straight, groups["context"] * ("context" in known)))

    subsets = [frozenset(chosen) for size in range(len(GROUPS) + 1) for chosen in combinations(GROUPS, size)]
    value = {known: score(known) for known in subsets}
    n = len(GROUPS)
    result = {}
    for name in GROUPS:
        total = torch.zeros_like(value[frozenset()])
        for known in subsets:
            if name not in known:
                weight = factorial(len(known)) * factorial(n - len(known) - 1) / factorial(n)
                total += weight * (value[known | {name}] - value[known])
        result[name] = total
    return result, value[frozenset()]
