"""Fusion of the four groups of inputs: concatenated, or weighted by a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GROUPS = ("taste", "momentum", "habit", "context")


class Fusion(nn.Module):
    """Project every group to a common width and join them.

    `concat` adds the projections, which is a dense layer over the concatenated inputs. `gated` weighs each group by a softmax
    gate that sees the request's context and the joined projections, so that a person without habits is read by momentum.

    A group's projection is linear without bias, so that a group at its training average (zero) adds nothing: this is what
    "without the group" means in an explanation.
    """

    def __init__(self, kind: str, widths: dict[str, int], hidden: int) -> None:
        super().__init__()
        self.kind = kind
        self.project = nn.ModuleDict({name: nn.Linear(widths[name], hidden, bias=False) for name in GROUPS})
        self.direct = nn.ModuleDict({name: nn.Linear(widths[name], 1, bias=False) for name in GROUPS})
        for layer in self.direct.values():
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.bias = nn.Parameter(torch.zeros(hidden))
        if kind == "gated":
            self.gate = nn.Linear(widths["context"] + hidden, len(GROUPS))
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

    def parts(self, groups: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Projection [B, C or 1, hidden] and direct contribution [B, C or 1, 1] of each group [B, C or 1, width]."""
        projected = {name: self.project[name](groups[name]) for name in GROUPS}
        direct = {name: self.direct[name](groups[name]) for name in GROUPS}
        return projected, direct

    def join(self, projected: dict[str, Tensor], direct: dict[str, Tensor], context: Tensor) -> tuple[Tensor, Tensor]:
        """Joined hidden state [B, C, hidden] and the sum of direct contributions [B, C, 1].

        Args:
            context: [B, 1, width] the request's context; zero where context is left out of an explanation.
        """
        total: Tensor = sum(projected[name] for name in GROUPS)  # type: ignore[assignment]
        straight: Tensor = sum(direct[name] for name in GROUPS)  # type: ignore[assignment]
        if self.kind == "gated":
            seen = torch.cat([context.expand(-1, total.shape[1], -1), torch.tanh(total)], -1)
            gate = len(GROUPS) * torch.softmax(self.gate(seen), -1)
            total = sum(gate[..., g : g + 1] * projected[name] for g, name in enumerate(GROUPS))  # type: ignore[assignment]
        return total + self.bias, straight
