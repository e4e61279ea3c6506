"""What moves the weights of the joint model: Muon for its dense matrices, AdamW for everything else.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) steps along the orthogonalised momentum, so
that rare directions of a matrix learn as fast as common ones. Its steps are scaled to the size of AdamW's (Liu et al., "Muon is
Scalable for LLM Training", 2025), of which this network bears several: docs/design.md has the figures.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from timerec.config import TrainConfig

MUON_RATE = 4.0  # learning rate of Muon against that of AdamW
LEAST_SIDE = 8  # a matrix with fewer rows or columns has no directions to speak of


class Optimiser:
    """Both optimisers as one.

    Args:
        model: the joint model; dense matrices are looked for in here alone.
        others: further modules that are trained (a language model's adapters), all of them by AdamW.
    """

    def __init__(self, model: nn.Module, others: list[nn.Module], config: TrainConfig) -> None:
        dense = dense_matrices(model)
        held = {id(parameter) for parameter in dense}
        rest = [p for module in (model, *others) for p in module.parameters() if p.requires_grad and id(p) not in held]
        decayed = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.parameters: list[Tensor] = list[Tensor](dense) + list[Tensor](rest)
        self._parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(decayed, lr=config.learning_rate)]
        self._rates = [1.0]
        if dense:
            self._parts.append(torch.optim.Muon(dense, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"))
            self._rates.append(MUON_RATE)

    def step(self, loss: Tensor, scaler: torch.amp.GradScaler, rate: float, clip: float) -> None:
        """One step down the gradient of `loss`, whose norm is at most `clip`, at AdamW's learning rate `rate`."""
        for part, share in zip(self._parts, self._rates, strict=True):
            part.zero_grad(set_to_none=True)
            for group in part.param_groups:
                group["lr"] = rate * share
        torch.autograd.backward(scaler.scale(loss))
        for part in self._parts:
            scaler.unscale_(part)
        norm = nn.utils.clip_grad_norm_(self.parameters, clip)
        # clipping spreads an overflow in one part to the other, whose scaler has looked before
        if not scaler.is_enabled() or norm.isfinite():
            for part in self._parts:
                scaler.step(part)
        scaler.update()

    def state_dict(self) -> list[dict[str, Any]]:
        """What a restart needs."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Continue from `states`."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def dense_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Trained weights [out, in] of the dense layers of `model`, but for those with hardly any rows or columns."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    weights = [weight for layer in layers for weight in layer.parameters(recurse=False) if weight.ndim == 2]
    return [weight for weight in weights if weight.requires_grad and min(weight.shape) >= LEAST_SIDE]
