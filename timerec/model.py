"""The joint model: item vectors, history encoder, as-of features and forecasts, fused into one score a candidate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from timerec.candidates.batch import Batch
from timerec.candidates.pairs import Layout
from timerec.candidates.without import dropped, dropped_context
from timerec.config import FusionConfig
from timerec.encoder.history import HistoryEncoder
from timerec.fusion.explain import shapley
from timerec.fusion.fuse import GROUPS, Fusion
from timerec.fusion.head import DenseHead
from timerec.fusion.standardise import LIMIT, Standardise

REMEMBERED = 8192  # item vectors computed at once
ID_DROPOUT = 0.1  # share of item ids hidden in training, so that an item never seen in training is no stranger


class Inputs(NamedTuple):
    """A batch of requests as tensors: B requests, C candidates, L events of history."""

    items: Tensor  # int64 [B, C]
    mask: Tensor  # bool [B, C] real candidates
    standard: Tensor  # bool [B, C] the request's own candidates
    features: Tensor  # [B, C, F]
    best: Tensor  # [B, F] largest features among the request's own candidates
    context: Tensor  # [B, G]
    history: Tensor  # int64 [B, L], -1 = padded
    gaps: Tensor  # [B, L]
    values: Tensor  # [B, L]

    def to(self, device: torch.device) -> Inputs:
        return Inputs(*(tensor.to(device, non_blocking=True) for tensor in self))


class Read(NamedTuple):
    """What the history encoder says of B requests, to be matched with any candidates."""

    user: Tensor  # [B, width] state of the user
    events: Tensor  # [B, L, width] keys of the latest events
    taken: Tensor  # bool [B, L], False where padded; without any event nothing matches


class Begun(NamedTuple):
    """B requests as far as they can be scored before their histories are read."""

    x: Inputs
    context: Tensor  # [B, G] standardised
    views: Tensor  # [B, C, 3, F]
    item: Tensor  # [B, C, width]
    asked: Tensor  # [B, heads, width / heads, C] what each head asks of the histories


def inputs(batch: Batch) -> Inputs:
    """Tensors of a padded batch."""
    place = np.arange(batch.items.shape[1])[None, :]
    return Inputs(
        torch.from_numpy(batch.items.astype(np.int64)),
        torch.from_numpy(place < batch.count[:, None]),
        torch.from_numpy(place < batch.standard[:, None]),
        torch.from_numpy(batch.features),
        torch.from_numpy(batch.best),
        torch.from_numpy(batch.context),
        torch.from_numpy(batch.history.astype(np.int64)),
        torch.from_numpy(batch.gaps),
        torch.from_numpy(batch.values),
    )


@dataclass(frozen=True)
class Shape:
    """Everything that fixes the sizes of a model's parameters."""

    fusion: dict[str, Any]
    groups: dict[str, tuple[int, int]]
    context: int
    text: int  # size of a text vector, 0 without text
    categories: int  # known categories; index 0 stands for an unknown one
    items: int  # known item ids; 0: ids are not learnt
    dropped: list[int] = field(default_factory=list)  # feature columns left out, read as their average
    dropped_context: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, config: FusionConfig, layout: Layout, text: int, categories: int, items: int) -> Shape:
        spans = {name: (span.start, span.stop) for name, span in layout.groups.items()}
        without = config.without
        gone, unseen = dropped(layout.names, layout.groups, without), dropped_context(layout.context, without)
        text = 0 if "text" in without else text
        return cls(config.model_dump(), spans, len(layout.context), text, categories, items, gone, unseen)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class JointModel(nn.Module):
    """Scores of candidates as of the moment of each request."""

    context_mean: Tensor
    context_scale: Tensor
    kept: Tensor
    kept_context: Tensor
    text: Tensor
    category: Tensor
    identity: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        config = FusionConfig.model_validate(shape.fusion)
        self.shape, self.width, self.heads = shape, config.width, config.heads
        self.spans = {name: slice(*span) for name, span in shape.groups.items()}
        features = max(span.stop for span in self.spans.values())
        self.standardise = Standardise(features)
        self.register_buffer("context_mean", torch.zeros(shape.context))
        self.register_buffer("context_scale", torch.ones(shape.context))
        self.from_text = nn.Linear(shape.text, config.width, bias=False) if shape.text else None
        self.from_category = nn.Embedding(shape.categories + 1, config.width)
        nn.init.normal_(self.from_category.weight, std=0.1)
        self.from_id = nn.Embedding(shape.items + 1, config.width, padding_idx=0) if shape.items else None
        if self.from_id is not None:
            nn.init.normal_(self.from_id.weight, std=0.02)
        self.item_norm = nn.LayerNorm(config.width)
        self.history = HistoryEncoder(
            width=config.width, layers=config.layers, heads=config.heads, length=config.history,
            context=shape.context, dropout=config.dropout, timed="time" not in config.without,
        )  # fmt: skip
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        widths = {name: 3 * (span.stop - span.start) for name, span in self.spans.items()}
        widths["taste"] += 1 + config.heads
        widths["context"] = shape.context
        self.fusion = Fusion(config.kind, widths, config.hidden)
        self.head = DenseHead(config.hidden)
        self.without = frozenset(config.without)
        self.register_buffer("kept", _all_but(features, shape.dropped), persistent=False)
        self.register_buffer("kept_context", _all_but(shape.context, shape.dropped_context), persistent=False)
        if "sequence" in self.without:  # what has no part must have no gradient: data-parallel training waits for all
            for part in (self.from_text, self.from_category, self.from_id, self.item_norm, self.history, self.query, self.key):
                if part is not None:
                    part.requires_grad_(False)
        for name in ("text", "category", "identity"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        self.vectors: Tensor | None = None  # of the whole catalogue, where `remember` was called

    def attach(self, text: NDArray[np.float32], category: NDArray[np.int64], identity: NDArray[np.int64]) -> None:
        """Give the model the catalogue it works on.

        Args:
            text: [I, shape.text] vectors of the items' texts.
            category, identity: [I] indices in the model's own tables, 0 = unknown.
        """
        device = self.fusion.bias.device
        self.text = torch.as_tensor(np.ascontiguousarray(text), device=device)
        self.category = torch.as_tensor(np.array(category) * ("category" not in self.without), device=device)
        self.identity = torch.as_tensor(np.array(identity), device=device)
        self.vectors = None

    @torch.inference_mode()
    def remember(self) -> None:
        """Get ready for scoring only, until the next `attach`: all items get their vectors, and the texts are let go."""
        items = torch.arange(len(self.category), device=self.category.device)
        self.vectors = torch.cat([self.item_vectors(part) for part in items.split(REMEMBERED)])
        self.text = self.text.new_empty(0, self.text.shape[-1])  # a slice would keep all of them

    def fit_scales(self, x: Inputs) -> None:
        """Measure the scales of features and context on a sample of training requests."""
        self.standardise.fit(x.features, x.mask, x.best)
        self.context_mean.copy_(x.context.mean(0))
        self.context_scale.copy_(x.context.std(0) + 1e-2)

    def item_vectors(self, items: Tensor, text: Tensor | None = None) -> Tensor:
        """Vectors [n, width] of items [n]; `text` [n, shape.text] replaces the attached text vectors."""
        if self.vectors is not None and text is None:
            return self.vectors[items]
        vector = self.from_category(self.category[items])
        if self.from_text is not None:
            vector = vector + self.from_text(self.text[items] if text is None else text)
        if self.from_id is not None:
            identity = self.identity[items]
            if self.training:
                identity = identity * (torch.rand(identity.shape, device=identity.device) >= ID_DROPOUT)
            vector = vector + self.from_id(identity)
        return self.item_norm(vector)

    def groups(self, x: Inputs, live: tuple[Tensor, Tensor] | None = None) -> dict[str, Tensor]:
        """Standardised inputs of each group, [B, C, width], context [B, 1, width].

        Args:
            live: item indices [n], ascending, and their text vectors [n, text], computed by a language model in training;
                they take the place of the attached vectors.
        """
        context = self._context(x.context)
        return self._grouped(self.standardise(x.features, x.best), self._matches(x, context, live), context)

    def forward(self, x: Inputs, live: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Scores [B, C]; padded places are -inf."""
        return self._score(x, *self._join(self.groups(x, live)))

    def begin(self, x: Inputs) -> Begun:
        """The part of the scores that needs no histories, and so need not wait for who reads them."""
        context, views, item = self._context(x.context), self.standardise(x.features, x.best), self._vectors_of(x.items, None)
        return Begun(x, context, views, item, self._asked(item))

    def finish(self, begun: Begun, read: Read) -> Tensor:
        """Scores [B, C] as `forward` gives them, of histories that were read elsewhere."""
        return self._score(begun.x, *self._join(self._after(begun, read)))

    def explain(self, begun: Begun, read: Read) -> tuple[dict[str, Tensor], Tensor]:
        """Shapley values [B, C] of taste, momentum, habit and context, and the baseline [B, C]: they sum to the score."""
        return shapley(self.fusion, self.head, self._after(begun, read))

    def _after(self, begun: Begun, read: Read) -> dict[str, Tensor]:
        return self._grouped(begun.views, self._near(begun.item, begun.asked, read), begun.context)

    def read(self, history: Tensor, gaps: Tensor, values: Tensor, context: Tensor) -> Read:
        """Read histories apart from any candidates; the arguments are those of `Inputs`."""
        taken = history >= 0
        events = self.item_vectors(history.clamp(min=0).flatten()).view(*history.shape, -1)
        return self._read(events, gaps, values, taken, self._context(context))

    def _grouped(self, views: Tensor, matches: Tensor, context: Tensor) -> dict[str, Tensor]:
        """Inputs of each group: of views [B, C, 3, F], matches [B, C, 1 + heads] and contexts [B, G]."""
        if self.shape.dropped:
            views = views * self.kept
        result = {name: views[..., span].flatten(2) for name, span in self.spans.items()}
        result["taste"] = torch.cat([result["taste"], matches], -1)
        result["context"] = context[:, None, :]
        return result

    def _join(self, groups: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.fusion.join(*self.fusion.parts(groups), groups["context"])

    def _score(self, x: Inputs, joined: Tensor, straight: Tensor) -> Tensor:
        scores: Tensor = self.head(joined, straight)
        return scores.float().masked_fill(~x.mask, -torch.inf)

    def _context(self, context: Tensor) -> Tensor:
        return ((context - self.context_mean) / self.context_scale).clamp(-LIMIT, LIMIT) * self.kept_context

    def _read(self, events: Tensor, gaps: Tensor, values: Tensor, taken: Tensor, context: Tensor) -> Read:
        user, states = self.history(events, gaps, values, taken, context)
        return Read(user, self.key(states), taken)

    def _matches(self, x: Inputs, context: Tensor, live: tuple[Tensor, Tensor] | None) -> Tensor:
        """What `_near` gives, of histories that are read here: items that are candidate and history have their vector once."""
        if "sequence" in self.without:
            return x.features.new_zeros(*x.items.shape, 1 + self.heads)
        vectors = self._vectors_of(torch.cat([x.items, x.history.clamp(min=0)], 1), live)
        item, events = vectors.tensor_split([x.items.shape[1]], 1)
        return self._near(item, self._asked(item), self._read(events, x.gaps, x.values, x.history >= 0, context))

    def _asked(self, item: Tensor) -> Tensor:
        return self.query(item).unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1)

    def _near(self, item: Tensor, asked: Tensor, read: Read) -> Tensor:
        """User vector · item vector, and each head's attention of the candidate to the history: [B, C, 1 + heads]."""
        if "sequence" in self.without:
            return item.new_zeros(*item.shape[:2], 1 + self.heads)
        dot = (item @ read.user[:, :, None]) / self.width**0.5
        size = self.width // self.heads
        keys = (read.events / size**0.5).unflatten(-1, (self.heads, size)).transpose(1, 2)
        padded = ~read.taken[:, None, :, None] * -1e4
        near = keys @ asked + padded  # [B, heads, L, C]: candidates last, along which the processor adds and compares quickly
        top = near.detach().amax(2, keepdim=True)
        size_of = read.taken.sum(1).clamp(min=1).log()[:, None, None]
        attention = ((near - top).exp().sum(2).log() + top.squeeze(2)).transpose(1, 2) - size_of
        attention = attention * read.taken.any(1)[:, None, None]
        return torch.cat([dot, attention], -1).clamp(-LIMIT, LIMIT)

    def _vectors_of(self, items: Tensor, live: tuple[Tensor, Tensor] | None) -> Tensor:
        """Vectors [B, n, width] of items [B, n], each computed once."""
        if self.vectors is not None:
            return self.vectors[items]
        unique, place = torch.unique(items, return_inverse=True)
        return self.item_vectors(unique, self._with_live(unique, live))[place]

    def _with_live(self, items: Tensor, live: tuple[Tensor, Tensor] | None) -> Tensor | None:
        if live is None or self.from_text is None:
            return None
        text = self.text[items]
        where = torch.searchsorted(live[0], items).clamp(max=len(live[0]) - 1)
        fresh = live[0][where] == items
        return torch.where(fresh[:, None], live[1].to(text.dtype)[where], text)


def _all_but(size: int, gone: list[int]) -> Tensor:
    kept = torch.ones(size)
    kept[gone] = 0.0
    return kept


__all__ = ["GROUPS", "Begun", "Inputs", "JointModel", "Read", "Shape", "inputs"]
