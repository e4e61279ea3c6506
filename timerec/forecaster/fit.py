"""Fitting the recurrent forecaster: the loss, an epoch, when to stop. One process and many workers share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from timerec.config import ForecasterConfig
from timerec.forecaster.inputs import YEAR
from timerec.forecaster.recurrent import QUANTILES, Architecture, RecurrentForecaster
from timerec.forecaster.sample import WINDOW, Tensors, choose, tensors, windowed, windows
from timerec.forecaster.series import ItemSeries

LONG = 64  # steps up to which `batch_size` series make a batch; longer windows come in smaller batches
SQUARED = 0.1  # share of the squared error in the loss: lowers RMSSE, hardly costs WAPE
PINBALL = 0.2  # weight of the quantiles' loss
ALIKE = 512  # steps in which lengths are compared when batches are drawn
PATIENCE = 5  # epochs without a better validation loss


def loss_sums(outputs: Tensor, target: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Weighted sum of the loss and of the weights, [2], of outputs [M, T, n, H, 1 + Q] and targets [T, n, H].

    Of the point forecast |e| / sqrt(scale) + 0.1 e^2 / scale^1.5: both terms grow with the square root of an item's level,
    between counting every item alike (RMSSE, MASE) and every unit alike (WAPE). Of the quantiles a fifth of the pinball
    loss / sqrt(scale) (Koenker & Bassett 1978).
    """
    error, root = outputs - target[..., None], scale.sqrt().unsqueeze(-1)
    point = error[..., 0]
    loss = point.abs() / root + SQUARED * point.square() / root**3
    levels = torch.tensor(QUANTILES, device=error.device)
    below = -error[..., 1:]
    loss = loss + PINBALL * torch.maximum(levels * below, (levels - 1) * below).sum(-1) / root
    return torch.stack([(loss * weight).sum() / len(outputs), weight.sum()])


def moments(data: Tensors) -> Tensor:
    """Number, sums and sums of squares of the inputs that are trained on, float64 [3, C]; sums over workers add up."""
    x = data.x[data.weight.sum(-1) > 0].double()
    return torch.stack([torch.ones_like(x).sum(0), x.sum(0), x.square().sum(0)])


@dataclass
class Fitting:
    """Model, optimizer and progress of a fit; `state` and `restore` carry it over a restart.

    Attributes:
        model: the network, or its data-parallel wrapper.
        steps: batches an epoch, the same on every worker.
        epochs: epochs at most; the learning rate follows one cycle over them (Smith & Topin 2018).
        precision: "fp32", "bf16" or "fp16".
    """

    model: nn.Module
    steps: int
    epochs: int
    learning_rate: float
    precision: str = "fp32"

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, self.learning_rate, total_steps=self.steps * self.epochs, pct_start=0.1
        )
        device = next(self.model.parameters()).device.type
        self.scaler = torch.amp.GradScaler(device, enabled=self.precision == "fp16")
        self.device = device
        self.epoch, self.best, self.best_epoch = 0, float("inf"), -1
        self.best_weights = self._weights()

    @property
    def network(self) -> RecurrentForecaster:
        """The network inside its wrapper."""
        inner = getattr(self.model, "module", self.model)
        assert isinstance(inner, RecurrentForecaster)
        return inner

    @property
    def done(self) -> bool:
        """All epochs done, or no better validation loss for a while."""
        return self.epoch >= self.epochs or self.epoch - 1 - self.best_epoch >= PATIENCE

    def train_epoch(self, data: Tensors, generator: torch.Generator) -> Tensor:
        """One pass over the series in random order; returns `loss_sums` of it."""
        self.model.train()
        total = torch.zeros(2, device=self.device)
        usual = (data.weight.sum() / self.steps).clamp(min=1.0)  # not the batch's own: a target counts alike in any batch
        for batch in self._batches(data.lengths.cpu(), generator):
            part = batch.to(data.x.device)
            sums = self._sums(data, data.weight, part)
            self.optimizer.zero_grad()
            torch.autograd.backward(self.scaler.scale(sums[0] / usual))
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.schedule.step()
            total += sums.detach()
        return total

    @torch.no_grad()
    def validate(self, data: Tensors) -> Tensor:
        """`loss_sums` over the held-out targets."""
        self.network.eval()
        some = torch.nonzero(data.held.sum((0, 2))).ravel()
        some = some[torch.argsort(data.lengths[some])]
        total = torch.zeros(2, device=self.device)
        for part in torch.split(some, 256):
            total += self._sums(data, data.held, part, self.network)
        return total

    def end_epoch(self, validation: Tensor) -> float:
        """Keep the weights if `validation` (sums over all workers) is the best so far; returns the validation loss."""
        loss = float(validation[0] / validation[1].clamp(min=1.0))
        if validation[1] == 0 or loss < self.best:  # nothing held out: the newest weights
            self.best, self.best_epoch, self.best_weights = loss, self.epoch, self._weights()
        self.epoch += 1
        return loss

    def state(self) -> dict[str, Any]:
        """Everything that a restart needs."""
        return {
            "weights": self._weights(),
            "best_weights": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "progress": [self.epoch, self.best, self.best_epoch],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.network.load_state_dict(state["weights"])
        self.best_weights = state["best_weights"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best, self.best_epoch = state["progress"]

    def _batches(self, lengths: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Series [n] in random order, but those of like lengths together.

        A network takes as many steps one after the other as the longest series of its batch has.
        """
        turn = torch.randperm(self.steps, generator=generator)  # before what depends on n: workers take like batches together
        order = torch.randperm(len(lengths), generator=generator)
        by_length = torch.argsort(lengths[order] // ALIKE, stable=True)
        parts = order[by_length].tensor_split(self.steps)
        return [parts[number] for number in turn]

    def _sums(self, data: Tensors, weight: Tensor, part: Tensor, model: nn.Module | None = None) -> Tensor:
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        longest = int(data.lengths[part].max()) if len(part) else 1
        x, scale = data.x[:longest, part], data.scale[:longest, part]
        with torch.autocast(self.device, dtype=dtype, enabled=self.precision != "fp32"):
            outputs = (model or self.model)(x, scale)
        if model is not None:  # judged as it will be used: averaged
            outputs = outputs.mean(0, keepdim=True)
        return loss_sums(outputs, data.target[:longest, part], weight[:longest, part], scale)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}


def architecture(config: ForecasterConfig, series: ItemSeries, fit_until_step: int) -> Architecture:
    """The network for these settings; the time of year is read only where the fit sees two years or more."""
    yearly = fit_until_step * series.step >= 2 * YEAR
    return Architecture(config.kind, config.hidden, config.horizons, series.step, bool(yearly), series.n_beside, config.members)


def batches(series: ItemSeries, batch_size: int) -> int:
    """Batches an epoch over the windows of `series`."""
    size = max(1, batch_size * LONG // int(np.clip(series.lengths.max(initial=1), LONG, WINDOW)))
    return max(1, -(-int(windows(series.lengths).sum()) // size))


def fit_local(
    series: ItemSeries,
    config: ForecasterConfig,
    fit_until_step: int,
    seed: int = 17,
    precision: str = "fp32",
    on_epoch: Callable[[int, float, float], None] | None = None,
) -> RecurrentForecaster:
    """Fit on steps before `fit_until_step` in this process.

    Args:
        on_epoch: called with (epoch, training loss, validation loss) after each epoch.

    Raises:
        DataError: there are too few steps to learn from.
    """
    sample = choose(series, config.horizons, fit_until_step, seed)
    torch.manual_seed(seed)
    model = RecurrentForecaster(architecture(config, series, fit_until_step))
    data = windowed(tensors(sample, model.architecture))
    model.standardise(moments(data))
    steps = batches(sample.series, config.batch_size)
    fitting = Fitting(model, steps, config.epochs, config.learning_rate, precision)
    generator = torch.Generator().manual_seed(seed)
    while not fitting.done:
        train = fitting.train_epoch(data, generator)
        loss = fitting.end_epoch(fitting.validate(data))
        if on_epoch:
            on_epoch(fitting.epoch, float(train[0] / train[1]), loss)
    model.load_state_dict(fitting.best_weights)
    return model.eval()
