"""The projections of all groups as one, for answers: what of them needs no history is computed before that has been read."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from timerec.fusion.fuse import Fusion


class Folded(NamedTuple):
    """Weights of a `Fusion` that concatenates, each with a last row for the direct contribution."""

    views: Tensor  # [hidden + 1, 3 F] of all candidates' views, as `Standardise` lays them out
    matches: Tensor  # [hidden + 1, M] of what is told of candidates and histories, behind the views of taste
    context: Tensor  # [hidden + 1, G]
    bias: Tensor  # [hidden + 1]

    def begin(self, views: Tensor, context: Tensor) -> Tensor:
        """What views [B, C, 3, F] and contexts [B, G] contribute: [B, C, hidden + 1]."""
        return F.linear(views.flatten(2), self.views).add_(F.linear(context, self.context, self.bias)[:, None])

    def finish(self, begun: Tensor, matches: Tensor) -> tuple[Tensor, Tensor]:
        """The joined state [B, C, hidden] and the sum of direct contributions [B, C, 1], with matches [B, C, M]."""
        both = begun + F.linear(matches, self.matches)
        return both[..., :-1], both[..., -1:]


def fold(fusion: Fusion, spans: dict[str, slice], kept: Tensor) -> Folded:
    """Fold the projections of a fusion that concatenates.

    Args:
        spans: columns of the features that each group has.
        kept: [F] 0.0 where a column is left out.
    """
    layers: dict[str, list[Any]] = {name: [fusion.project[name], fusion.direct[name]] for name in fusion.project}
    weight = {name: torch.cat([layer.weight for layer in both]) for name, both in layers.items()}
    views = kept.new_zeros(len(fusion.bias) + 1, 3, len(kept))
    for name, span in spans.items():
        width = 3 * (span.stop - span.start)
        views[:, :, span] = weight[name][:, :width].unflatten(1, (3, -1)) * kept[span]
    taste = 3 * (spans["taste"].stop - spans["taste"].start)
    bias = torch.cat([fusion.bias, fusion.bias.new_zeros(1)])
    return Folded(views.flatten(1), weight["taste"][:, taste:].contiguous(), weight["context"], bias)
