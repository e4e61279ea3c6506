"""One process's part in fitting the joint model: optimiser, schedule, averaged weights, validation. No Ray in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from timerec.config import TrainConfig
from timerec.model import JointModel
from timerec.training.batching import Example
from timerec.training.lora import LiveText
from timerec.training.losses import joint_loss
from timerec.training.optimise import Optimiser

WARM_UP = 50  # steps
LEAST_RATE = 0.05  # share of the learning rate that is left at the end
AVERAGE = 0.995  # weight of the past in the averaged weights, a step
CUT = 10

Reduce = Callable[[Tensor], Tensor]


class Joint(nn.Module):
    """The joint model together with the language model where that is fine-tuned: what data-parallel training wraps."""

    def __init__(self, model: JointModel, language: nn.Module | None) -> None:
        super().__init__()
        self.model, self.language = model, language

    def forward(self, x: Any, live: tuple[Tensor, Tensor, Tensor] | None) -> Tensor:
        """Scores [B, C]; `live` holds item indices, token ids and mask of texts that are read with gradient."""
        if live is None or self.language is None:
            return self.model(x)
        items, ids, mask = live
        return self.model(x, (items, self.language(ids, mask)))


class Fitting:
    """Optimiser state of one segment plan; the caller decides about segments, checkpoints and workers."""

    def __init__(
        self,
        joint: Joint,
        wrapped: nn.Module,
        config: TrainConfig,
        steps: int,
        device: torch.device,
        live: LiveText | None,
    ) -> None:
        self.joint, self.wrapped, self.config, self.device, self.live = joint, wrapped, config, device, live
        self.optimiser = Optimiser(joint.model, [] if joint.language is None else [joint.language], config)
        self._parameters = self.optimiser.parameters
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.average = [p.detach().clone() for p in self._parameters]
        self.steps, self.step, self.rate = max(steps, 1), 0, config.learning_rate

    def begin(self, rate: float, steps: int) -> None:
        """Start a schedule of `steps` steps that rises to `rate` and falls in a line; the averaged weights become the weights."""
        self.rate, self.steps, self.step = rate, max(steps, 1), 0
        with torch.no_grad():
            for parameter, mean in zip(self._parameters, self.average, strict=True):
                parameter.copy_(mean)

    def run(self, examples: Iterable[Example]) -> tuple[float, int]:
        """One segment of training; returns the sum of losses and the number of steps."""
        self.joint.train()
        total, count = 0.0, 0
        for example in examples:
            total += self._step(example)
            count += 1
        return total, count

    def _step(self, example: Example) -> float:
        progress = min(self.step / self.steps, 1.0)
        rate = self.rate * min(1.0, (self.step + 1) / WARM_UP) * (1.0 - (1.0 - LEAST_RATE) * progress)
        x = example.x.to(self.device)
        live = self.live.sample(example.taken, self.step, self.device) if self.live else None
        with self._precision():
            scores = self.wrapped(x, live)
        target, drawn, weight = (part.to(self.device) for part in (example.target, example.drawn, example.log_weight))
        loss = joint_loss(scores, target, drawn, weight, x.standard)
        self.optimiser.step(loss, self.scaler, rate, self.config.clip)
        self.step += 1
        past = min(AVERAGE, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self._parameters, 1.0 - past)
        return float(loss.detach())

    def validate(self, examples: Iterable[Example], reduce: Reduce) -> float:
        """NDCG@10 of the averaged weights over all workers' examples."""
        total = torch.zeros(2, dtype=torch.float64)
        with self.averaged(), torch.inference_mode(), self._precision():
            self.joint.eval()
            for example in examples:
                scores = self.joint(example.x.to(self.device), None).cpu()
                total += torch.tensor([ndcg(scores, example.target, example.truths).sum(), len(scores)])
        total = reduce(total)
        return float(total[0] / total[1].clamp(min=1))

    def averaged(self) -> _Swap:
        """A context in which the averaged weights are in place."""
        return _Swap(self._parameters, self.average)

    def state(self) -> dict[str, Any]:
        """What a restart needs."""
        return {
            "weights": {n: p.detach().cpu() for n, p in self.joint.named_parameters() if p.requires_grad},
            "average": [mean.cpu() for mean in self.average],
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "schedule": (self.rate, self.steps, self.step),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.joint.load_state_dict(state["weights"], strict=False)
        for mean, stored in zip(self.average, state["average"], strict=True):
            mean.copy_(stored)
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.rate, self.steps, self.step = state["schedule"]

    def weights(self) -> list[Tensor]:
        """A copy of the averaged weights."""
        return [mean.clone() for mean in self.average]

    def set_average(self, weights: list[Tensor]) -> None:
        """Replace the averaged weights."""
        for mean, stored in zip(self.average, weights, strict=True):
            mean.copy_(stored)

    def _precision(self) -> Any:
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.precision)
        return torch.autocast(self.device.type, dtype=kind) if kind else nullcontext()


class _Swap:
    def __init__(self, parameters: list[Tensor], other: list[Tensor]) -> None:
        self._parameters, self._other = parameters, other

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, other in zip(self._parameters, self._other, strict=True):
                kept = parameter.detach().clone()
                parameter.copy_(other)
                other.copy_(kept)

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()


def ndcg(scores: Tensor, target: Tensor, truths: Tensor) -> Tensor:
    """NDCG@10 [B] of scores [B, C] whose targets [B, C] are those of `truths` [B] items taken that are candidates."""
    width = min(CUT, scores.shape[1])
    best = scores.topk(width, 1).indices
    gain = 1.0 / torch.log2(torch.arange(CUT, dtype=torch.float64) + 2.0)
    ideal = torch.from_numpy(np.cumsum(gain.numpy()))[truths.clamp(1, CUT) - 1]
    return (target.gather(1, best).double() * gain[:width]).sum(1) / ideal
