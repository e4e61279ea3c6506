"""One recurrent network for all items: at every step, the sales (or ratings, or heat) of the next H steps.

A global model over many series, scaled by each series' own level, follows DeepAR (Salinas et al. 2020) with a point
forecast in place of a distribution. The network is causal: row s reads nothing after step s.
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
    """

    kind: str
    hidden: int
    horizons: int
    step: int
    yearly: bool


class RecurrentForecaster(nn.Module):
    """GRU or LSTM over the inputs of `timerec.forecaster.inputs`; forecast = scale x softplus(head(state, inputs))."""

    center: Tensor
    spread: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        columns = input_size(architecture.step, architecture.horizons, architecture.yearly)
        network = {"gru": nn.GRU, "lstm": nn.LSTM}[architecture.kind]
        self.rnn = network(columns, architecture.hidden)
        self.head = nn.Linear(architecture.hidden + columns, architecture.horizons)
        self.register_buffer("center", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, 0.54)  # softplus(0.54) = 1: training starts from the level itself

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """Forecasts [T, n, H] in units a step, of steps s+1 .. s+H at row s, from x [T, n, C] and scale [T, n]."""
        x = self._standard(x)
        return self._head(self.rnn(x)[0], x, scale)

    def standardise(self, moments: Tensor) -> None:
        """Bring the inputs to mean 0 and deviation 1, from their number, sums and sums of squares, float64 [3, C]."""
        count, total, squares = moments
        mean = total / count.clamp(min=1.0)
        self.center.copy_(mean)
        self.spread.copy_((squares / count.clamp(min=1.0) - mean.square()).clamp(min=0.0).sqrt() + 1e-3)

    def _standard(self, x: Tensor) -> Tensor:
        return (x - self.center) / self.spread

    def _head(self, states: Tensor, x: Tensor, scale: Tensor) -> Tensor:
        out = self.head(torch.cat([states, x], dim=-1)).float()
        return scale.unsqueeze(-1) * nn.functional.softplus(out)

    @torch.inference_mode()
    def roll(self, x: Tensor, scale: Tensor) -> Tensor:
        """As `forward`, in blocks of a fixed number of steps, so that a row's bits do not depend on T."""
        width = len(x)
        x = self._standard(x)
        missing = -width % BLOCK
        x, scale = nn.functional.pad(x, (0, 0, 0, 0, 0, missing)), nn.functional.pad(scale, (0, 0, 0, missing))
        state, out = None, []
        for start in range(0, len(x), BLOCK):
            part = slice(start, start + BLOCK)
            states, state = self.rnn(x[part], state)
            out.append(self._head(states, x[part], scale[part]))
        return torch.cat(out)[:width] if out else scale.new_zeros((*scale.shape, self.architecture.horizons))

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
