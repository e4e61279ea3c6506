"""The head: from the joined hidden state of a candidate to its score."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class DenseHead(nn.Module):
    """A dense network over each candidate by itself."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.middle = nn.Linear(hidden, hidden // 2)
        self.out = nn.Linear(hidden // 2, 1)

    def forward(self, joined: Tensor, straight: Tensor) -> Tensor:
        """Scores [B, C] from the joined state [B, C, hidden] and the direct contributions [B, C, 1]."""
        state = F.silu(self.middle(F.silu(joined)))
        return (self.out(state) + straight).squeeze(-1)
