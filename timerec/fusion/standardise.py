"""Features on one scale: by deviations, as distances to the request's best candidate, and by their place among all candidates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from timerec.elementary import LIMIT as LIMIT32
from timerec.fusion import views
from timerec.fusion.views import BINS

LIMIT, UNIFORM, NARROW = float(LIMIT32), float(views.UNIFORM), float(views.NARROW)
ROWS = 50_000  # candidates, at most, of which quantiles are taken


class Standardise(nn.Module):
    """Three views of the features [B, C, F] of candidates, each centred: a zero stands for the average of the training data.

    A level says how many deviations a feature lies from its mean, a distance how far it falls short of the request's best
    candidate. A place says how many sixteenths of the training candidates lie below, those that are all of one value not
    counted, in a line between quantiles: what is crowded on the scale of levels is spread out here, which trees have from their
    cuts and a dense layer has not (Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
    Learning", NeurIPS 2022, who give each bin a column).
    """

    mean: Tensor
    scale: Tensor
    distance_mean: Tensor
    distance_scale: Tensor
    quantiles: Tensor  # [F, BINS + 1]
    below: Tensor  # [F, BINS + 1] number of bins with any width that lie below each quantile
    place_mean: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        for name, start in (("mean", 0.0), ("scale", 1.0), ("distance_mean", 0.0), ("distance_scale", 1.0), ("place_mean", 0.0)):
            self.register_buffer(name, torch.full((features,), start))
        for name in ("quantiles", "below"):
            self.register_buffer(name, torch.zeros(features, BINS + 1))

    @torch.no_grad()
    def fit(self, features: Tensor, mask: Tensor, best: Tensor) -> None:
        """Measure means, deviations and quantiles on a sample of requests.

        Args:
            features: [B, C, F]; mask: bool [B, C]; best: [B, F] as in `forward`.
        """
        real = features[mask]
        self.mean.copy_(real.mean(0))
        self.scale.copy_(real.std(0) + 1e-3)
        _, distance = self._level_and_distance(features, best)
        apart = distance[mask]
        self.distance_mean.copy_(apart.mean(0))
        self.distance_scale.copy_(apart.std(0) + 1e-2)
        some = real[:: -(-len(real) // ROWS)]
        shares = torch.linspace(0, 1, BINS + 1, device=some.device)
        # one column at a time: torch.quantile refuses more than 16 million values
        self.quantiles.copy_(torch.stack([torch.quantile(column, shares) for column in some.T]))
        wide = self.quantiles.diff(dim=1) > NARROW  # equal values share one place
        self.below.copy_(torch.cat([wide.new_zeros(len(wide), 1), wide], 1).cumsum(1))
        self.place_mean.zero_()
        self.place_mean.copy_(self._places(some[:, None])[:, 0].mean(0) / UNIFORM)

    def forward(self, features: Tensor, best: Tensor) -> Tensor:
        """Levels, distances to the best, and places: [B, C, 3, F].

        Args:
            features: [B, C, F].
            best: [B, F] the largest features among the request's own candidates (-inf where it has none), whichever of them
                are in `features`. Both float32.

        Raises:
            ValueError: they do not fit each other, or what was fitted.
        """
        if features.shape[2] != len(self.mean) or best.shape != (len(features), features.shape[2]):
            raise ValueError(f"features {tuple(features.shape)} and best {tuple(best.shape)} for {len(self.mean)} columns")
        one_pass = features.device.type == "cpu" and not features.requires_grad
        return self._on_processor(features, best) if one_pass else self._on_tensors(features, best)

    def _on_processor(self, features: Tensor, best: Tensor) -> Tensor:
        out = torch.empty(*features.shape[:2], 3, features.shape[2])
        given = (
            features.contiguous(), best.contiguous(), self.mean, self.scale, self.distance_mean, self.distance_scale,
            self.quantiles, self.below, self.place_mean, out,
        )  # fmt: skip
        views.views(*(tensor.numpy() for tensor in given))
        return out

    def _on_tensors(self, features: Tensor, best: Tensor) -> Tensor:
        level, distance = self._level_and_distance(features, best)
        distance = distance.sub_(self.distance_mean).div_(self.distance_scale).clamp_(-LIMIT, LIMIT)
        return torch.stack([level, distance, self._places(features)], 2)

    def _level_and_distance(self, features: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        level = torch.sub(features, self.mean).div_(self.scale).clamp_(-LIMIT, LIMIT)
        highest = ((best - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
        return level, level - highest[:, None, :]

    def _places(self, features: Tensor) -> Tensor:
        values = features.flatten(0, 1).T.contiguous()  # [F, n]: one search a feature
        bin_ = torch.searchsorted(self.quantiles, values, right=True).sub_(1).clamp_(0, BINS - 1)
        low, high = self.quantiles.gather(1, bin_), self.quantiles.gather(1, bin_ + 1)
        within = (values - low).div_((high - low).clamp_(min=NARROW)).clamp_(0, 1)
        under, above = self.below.gather(1, bin_), self.below.gather(1, bin_ + 1)
        place = torch.lerp(under, above, within).div_(BINS).sub_(self.place_mean[:, None]).mul_(UNIFORM)
        return place.T.unflatten(0, features.shape[:2])
