"""The time-aware encoder of a user's latest events: a small pre-norm transformer asked by the context of the request."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BUCKETS = 64  # of log seconds between event and request
LONGEST = math.log1p(10 * 365 * 86_400)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_dense = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        batch, length, width = x.shape
        parts = self.project(self.norm_attention(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed[:, None, None, :])
        x = x + self.dropout(self.out(seen.transpose(1, 2).reshape(batch, length, width)))
        return x + self.dropout(self.dense(self.norm_dense(x)))


class HistoryEncoder(nn.Module):
    """Reads the latest L events, each with its age at the request, and answers with the user's state.

    Args:
        width: size of item vectors and of the state.
        layers: transformer layers; 0 takes the mean of the events instead.
        length: L, the window.
        context: size of the request's context, whose projection is the query token.
        timed: whether it is told the age and the place of each event.
    """

    def __init__(
        self, *, width: int, layers: int, heads: int, length: int, context: int, dropout: float, timed: bool = True
    ) -> None:
        super().__init__()
        self.timed = timed
        if timed:
            self.age = nn.Embedding(BUCKETS, width)
            self.place = nn.Embedding(length, width)
            for table in (self.age, self.place):
                nn.init.normal_(table.weight, std=0.02)
        self.value = nn.Linear(1, width)
        self.ask = nn.Linear(context, width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, items: Tensor, gaps: Tensor, values: Tensor, taken: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """User state [B, width] and event states [B, L, width].

        Args:
            items: [B, L, width] item vectors, the newest event last.
            gaps: [B, L] log1p of seconds from event to request.
            values: [B, L] log1p of event values.
            taken: bool [B, L], False where padded; context: [B, G] standardised.
        """
        events = items + self.value(values[..., None])
        if self.timed:
            bucket = (gaps / LONGEST * BUCKETS).long().clamp(0, BUCKETS - 1)
            place = torch.arange(items.shape[1] - 1, -1, -1, device=items.device)
            events = events + self.age(bucket) + self.place(place)
        asked = self.ask(context)
        if not len(self.layers):
            total = (events * taken[..., None]).sum(1) / taken.sum(1, keepdim=True).clamp(min=1)
            return self.norm(total + asked), events
        x = torch.cat([events, asked[:, None, :]], 1)
        allowed = torch.cat([taken, taken.new_ones(len(taken), 1)], 1)  # the query token is always there
        for layer in self.layers:
            x = layer(x, allowed)
        x = self.norm(x)
        return x[:, -1], x[:, :-1]
