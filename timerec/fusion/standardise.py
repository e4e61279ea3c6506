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
    def fit(self, features: Tensor, mask: Tensor, standard: Tensor) -> None:
        """Measure means and deviations on a sample of requests.

        Args:
            features: [B, C, F]; mask, standard: bool [B, C].
        """
        real = features[mask]
        self.mean.copy_(real.mean(0))
        self.scale.copy_(real.std(0) + 1e-3)
        _, distance = self._halves(features, standard)
        real = distance[mask]
        self.distance_mean.copy_(real.mean(0))
        self.distance_scale.copy_(real.std(0) + 1e-2)

    def forward(self, features: Tensor, standard: Tensor) -> Tensor:
        """Standardised features [B, C, 2 F]: levels, then distances to the best of the standard candidates."""
        level, distance = self._halves(features, standard)
        distance = ((distance - self.distance_mean) / self.distance_scale).clamp(-LIMIT, LIMIT)
        return torch.cat([level, distance], -1)

    def _halves(self, features: Tensor, standard: Tensor) -> tuple[Tensor, Tensor]:
        level = ((features - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
        best = level.masked_fill(~standard[..., None], -LIMIT).amax(1, keepdim=True)
        return level, level - best
