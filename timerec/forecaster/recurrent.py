"""One recurrent network for all items: at every step, the sales (or ratings, or heat) of the next H steps.

A global model over many series, scaled by each series' own level, follows DeepAR (Salinas et al. 2020), with a point forecast and
quantiles (Wen et al. 2017, "A multi-horizon quantile recurrent forecaster") in place of a distribution. Several members that
differ in their initial weights are trained side by side, and their outputs averaged. The network is causal: row s reads nothing
after step s.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from timerec.forecaster.inputs import input_size

QUANTILES = (0.1, 0.5, 0.9)
OUTPUTS = 1 + len(QUANTILES)  # the point forecast first
LIMIT = 8.0  # standard deviations beyond which an input says no more
BLOCK = 16  # steps a call in `roll`: every call has one shape, so results do not depend on what follows in the log


@dataclass(frozen=True)
class Architecture:
    """What rebuilds the network.

    Attributes:
        kind: "gru" or "lstm".
        hidden: size of the recurrent state.
        horizons: steps ahead, H.
        step: seconds in a step.
        yearly: whether the time of year is an input.
        beside: columns known beside the series.
        members: networks that are averaged.
    """

    kind: str
    hidden: int
    horizons: int
    step: int
    yearly: bool
    beside: int = 0
    members: int = 1


class Member(nn.Module):
    """One recurrent cell and the linear map from its state and the inputs to H x (1 + Q) raw outputs."""

    def __init__(self, kind: str, columns: int, hidden: int, horizons: int) -> None:
        super().__init__()
        self.rnn = {"gru": nn.GRU, "lstm": nn.LSTM}[kind](columns, hidden)
        self.head = nn.Linear(hidden + columns, horizons * OUTPUTS)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, 0.54)  # softplus(0.54) = 1: training starts from the level itself

    def forward(self, x: Tensor, scale: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Outputs [T, n, H, 1 + Q] in units a step, and the state after the last row."""
        states, state = self.rnn(x, state)
        raw = self.head(torch.cat([states, x], dim=-1)).float().unflatten(-1, (-1, OUTPUTS))
        positive = scale[..., None, None] * nn.functional.softplus(raw)
        middle = positive[..., 2]
        # below the median a share of it, above it a surplus: quantiles cannot cross
        columns = [positive[..., 0], middle * torch.sigmoid(raw[..., 1]), middle, middle + positive[..., 3]]
        return torch.stack(columns, dim=-1), state


class RecurrentForecaster(nn.Module):
    """Members over the inputs of `timerec.forecaster.inputs`, and whatever is known beside the series."""

    center: Tensor
    spread: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        net = self.architecture = architecture
        columns = input_size(net.step, net.horizons, net.yearly) + net.beside
        self.members = nn.ModuleList(Member(net.kind, columns, net.hidden, net.horizons) for _ in range(net.members))
        self.register_buffer("center", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """Outputs [M, T, n, H, 1 + Q] of the M members: point forecast and quantiles of steps s+1 .. s+H at row s.

        Args:
            x: inputs [T, n, C].
            scale: [T, n], events a step.
        """
        x = self._standard(x)
        return torch.stack([member(x, scale)[0] for member in self.members])

    def standardise(self, moments: Tensor) -> None:
        """Bring the inputs to mean 0 and deviation 1, from their number, sums and sums of squares, float64 [3, C]."""
        count, total, squares = moments
        mean = total / count.clamp(min=1.0)
        self.center.copy_(mean)
        self.spread.copy_((squares / count.clamp(min=1.0) - mean.square()).clamp(min=0.0).sqrt() + 1e-3)

    def _standard(self, x: Tensor) -> Tensor:
        return ((x - self.center) / self.spread).clamp(-LIMIT, LIMIT)

    @torch.inference_mode()
    def roll(self, x: Tensor, scale: Tensor) -> Tensor:
        """The members' mean [T, n, H, 1 + Q], in blocks of a fixed number of steps, so that a row's bits do not depend on T."""
        width = len(x)
        x = self._standard(x)
        missing = -width % BLOCK
        x, scale = nn.functional.pad(x, (0, 0, 0, 0, 0, missing)), nn.functional.pad(scale, (0, 0, 0, missing))
        states: list[Any] = [None] * len(self.members)
        out = []
        for start in range(0, len(x), BLOCK):
            part = slice(start, start + BLOCK)
            total = torch.zeros(())
            for number, member in enumerate(self.members):
                one, states[number] = member(x[part], scale[part], states[number])
                total = total + one
            out.append(total / len(self.members))
        return torch.cat(out)[:width] if out else scale.new_zeros((*scale.shape, self.architecture.horizons, OUTPUTS))

    def save(self, folder: Path, extra: dict[str, Any] | None = None) -> None:
        """Write `model.safetensors` and `model.json` (the architecture, and `extra` beside it)."""
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "model.json").write_text(json.dumps({**(extra or {}), **asdict(self.architecture)}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> RecurrentForecaster:
        """Read what `save` wrote."""
        settings = json.loads((folder / "model.json").read_text())
        names = Architecture.__dataclass_fields__
        model = cls(Architecture(**{name: settings[name] for name in names}))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval()
