"""Features on one scale, each also as its distance to the request's best candidate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LIMIT = 6.0  # standard deviations kept


class Standardise(nn.Module):
    """Centre and scale features [B, C, F] by the training data, and append their distances to the best candidate.

    Both halves are centred, so that a zero stands for the average candidate of the training data.
    """

    mean: Tensor
    scale: Tensor
    distance_mean: Tensor
    distance_scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        for name, start in (("mean", 0.0), ("scale", 1.0), ("distance_mean", 0.0), ("distance_scale", 1.0)):
            self.register_buffer(name, torch.full((features,), start))

    @torch.no_grad()
    def fit(self, features: Tensor, mask: Tensor, best: Tensor) -> None:
        """Measure means and deviations on a sample of requests.

        Args:
            features: [B, C, F]; mask: bool [B, C]; best: [B, F] as in `forward`.
        """
        real = features[mask]
        self.mean.copy_(real.mean(0))
        self.scale.copy_(real.std(0) + 1e-3)
        _, distance = self._halves(features, best)
        real = distance[mask]
        self.distance_mean.copy_(real.mean(0))
        self.distance_scale.copy_(real.std(0) + 1e-2)

    def forward(self, features: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        """Standardised levels and distances to the best, each [B, C, F].

        Args:
            features: [B, C, F].
            best: [B, F] the largest features among the request's own candidates (-inf where it has none), whichever of them
                are in `features`.
        """
        level, distance = self._halves(features, best)
        return level, distance.sub_(self.distance_mean).div_(self.distance_scale).clamp_(-LIMIT, LIMIT)

    def _halves(self, features: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        level = torch.sub(features, self.mean).div_(self.scale).clamp_(-LIMIT, LIMIT)
        highest = ((best - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
        return level, level - highest[:, None, :]
