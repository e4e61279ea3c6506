"""The projections of all groups as one, for answers: what of them needs no history is computed before that has been read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from timerec.fusion.fuse import Fusion


class Folded(NamedTuple):
    """Weights of a `Fusion` that concatenates, each with a last column for the direct contribution."""

    views: Tensor  # [3 F, hidden + 1] of all candidates' views, as `Standardise` lays them out
    matches: Tensor  # [M, hidden + 1] of what is told of candidates and histories, behind the views of taste
    context: Tensor  # [G, hidden + 1]
    bias: Tensor  # [hidden + 1]


@torch.no_grad()
def fold(fusion: Fusion, spans: dict[str, slice], kept: Tensor) -> Folded:
    """Fold the projections of a fusion that concatenates.

    Args:
        spans: columns of the features that each group has.
        kept: [F] 0.0 where a column is left out.
    """
    weight = {name: torch.cat([fusion.project[name].weight, fusion.direct[name].weight]) for name in fusion.project}  # type: ignore[list-item]
    views = kept.new_zeros(len(fusion.bias) + 1, 3, len(kept))
    for name, span in spans.items():
        width = 3 * (span.stop - span.start)
        views[:, :, span] = weight[name][:, :width].unflatten(1, (3, -1)) * kept[span]
    taste = 3 * (spans["taste"].stop - spans["taste"].start)
    bias = torch.cat([fusion.bias, fusion.bias.new_zeros(1)])
    rest = weight["taste"][:, taste:].T.contiguous()
    return Folded(views.flatten(1).T.contiguous(), rest, weight["context"].T.contiguous(), bias)
