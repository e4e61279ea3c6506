"""Small random logs and everything that requests are answered from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from timerec.candidates import similar
from timerec.candidates.arrivals import arrivals
from timerec.candidates.batch import Batch
from timerec.candidates.batch import build as build_many
from timerec.candidates.pairs import ForecastTable, Layout, Sources, layout, workspace
from timerec.clock import DAY
from timerec.config import FusionConfig
from timerec.eventlog import EventLog, build
from timerec.model import JointModel, Shape
from timerec.state import State

START = 1_500_000_000
SPAN = 60 * DAY
CATEGORIES = 4
ATTRIBUTES = ["price", "promotion"]
FORECASTS = ["next", "trend", "period"]
KINDS = ["buy", "view"]


class Events(NamedTuple):
    """Events sorted by (user, time, item)."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float32]
    weight: NDArray[np.float32]
    kind: NDArray[np.int8]

    def where(self, keep: NDArray[Any]) -> Events:
        return Events(*(column[keep] for column in self))

    def plus(self, other: Events) -> Events:
        return in_order(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def in_order(user, item, time, value, weight, kind=None) -> Events:
    kind = np.full(len(user), -1) if kind is None else kind
    order = np.lexsort((item, time, user))
    types = (np.int32, np.int32, np.int64, np.float32, np.float32, np.int8)
    columns = zip((user, item, time, value, weight, kind), types, strict=True)
    return Events(*(np.asarray(column)[order].astype(type_) for column, type_ in columns))


def random_events(
    seed: int, n: int = 400, *, users: int = 12, items: int = 25, start: int = START, span: int = SPAN, tick: int = 1
) -> Events:
    """Events with shared seconds, baskets and repeats; each (user, item, second) once."""
    rng = np.random.default_rng(seed)
    moments = (start + rng.integers(0, span, max(2, n // 3))) // tick * tick
    item = np.floor(items * rng.random(n) ** 1.5).astype(np.int32)
    user = rng.integers(0, users, n)
    time = moments[rng.integers(0, len(moments), n)]
    _, once = np.unique(np.stack([user, item, time]), axis=1, return_index=True)
    value, weight = rng.integers(0, 6, n), rng.choice([0.3, 1.0, 2.7], n)
    kind = rng.integers(-1, len(KINDS), n)
    return in_order(user[once], item[once], time[once], value[once], weight[once], kind[once])


def categories(items: int = 25) -> NDArray[np.int32]:
    return (np.arange(items) % CATEGORIES).astype(np.int32)


def families(items: int = 25) -> NDArray[np.int32]:
    return (np.arange(items) // 3).astype(np.int32)


def attribute_rows(seed: int, items: int = 25, n: int = 120) -> tuple[NDArray, NDArray, NDArray]:
    """Rows (item, time, values) with gaps, each (item, time) once."""
    rng = np.random.default_rng(seed)
    item, time = rng.integers(0, items, n).astype(np.int32), START + rng.integers(0, 60, n) * DAY
    _, once = np.unique(np.stack([item, time]), axis=1, return_index=True)
    value = rng.normal(3, 2, (n, len(ATTRIBUTES))).astype(np.float32)
    value[rng.random(value.shape) < 0.25] = np.nan
    return item[once], time[once], value[once]


def build_log(events: Events, *, users: int = 12, items: int = 25, attributes=None, listed=None) -> EventLog:
    return build(*events, n_users=users, item_category=categories(items), attributes=attributes, listed=listed)


def forecast_table(seed: int, items: int = 25) -> ForecastTable:
    """Daily rows; item 0 has none, and items begin at different days."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 40, items)
    size[0] = 0
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    values = rng.normal(size=(int(offsets[-1]), len(FORECASTS))).astype(np.float32)
    return ForecastTable(offsets, rng.integers(0, 20, items).astype(np.int32), values, START, DAY)


def text_vectors(seed: int, items: int = 25, width: int = 6) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(items, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[1] = 0.0  # an item without text
    return vectors


def snapshots() -> NDArray[np.int64]:
    return np.array([START + SPAN // 3, START + 2 * SPAN // 3])


def sources_of(log: EventLog, seed: int = 0, repeats: bool = True) -> Sources:
    """The item-to-item weights are learnt on the log; everything else depends on the seed alone."""
    items = log.n_items
    found = similar.fit(log, snapshots())
    return Sources(log, forecast_table(seed, items), found, text_vectors(seed, items), families(items), arrivals(log), repeats)


def layout_of(log: EventLog) -> Layout:
    return layout(ATTRIBUTES if log.attribute_value.shape[1] else [], FORECASTS, KINDS)


def build_batch(sources: Sources, names: Layout, users, times, extras=None, history: int = 10) -> Batch:
    """Requests with `extras`, one list of items a request."""
    extras = extras or [[] for _ in users]
    start = np.concatenate([[0], np.cumsum([len(one) for one in extras])]).astype(np.int64)
    item = np.array([i for one in extras for i in one], np.int32)
    ws = workspace(sources.log, len(KINDS))
    return build_many(
        sources, ws, names, np.asarray(users, np.int32), np.asarray(times, np.int64),
        extra_start=start, extra_item=item, history=history,
    )  # fmt: skip


def joint_model(log: EventLog, kind: str = "concat", seed: int = 0, without: Sequence[str] = (), layers: int = 1) -> JointModel:
    """A model with random weights and scales, also where training starts from zeros or ones."""
    import torch

    torch.manual_seed(seed)
    items = log.n_items
    config = FusionConfig(kind=kind, width=8, hidden=16, history=10, heads=2, layers=layers, without=list(without))
    model = JointModel(Shape.of(config, layout_of(log), 6, CATEGORIES, items)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        for name in ("mean", "distance_mean", "place_mean"):
            getattr(model.standardise, name).normal_()
        model.context_mean.normal_()
        for scale in (model.standardise.scale, model.standardise.distance_scale, model.context_scale):
            scale.uniform_(0.5, 2.0)
        quantiles = model.standardise.quantiles
        quantiles.copy_(torch.randn_like(quantiles).sort(1).values)
        model.standardise.below.copy_(torch.arange(quantiles.shape[1]).expand_as(quantiles))
    model.attach(text_vectors(seed, items), categories(items).astype(np.int64) + 1, np.arange(items) + 1)
    return model


def state_of(sources: Sources) -> State:
    """Users "u0" …, items "i0" …"""
    log = sources.log
    names = [f"i{item}" for item in range(log.n_items)]
    items = pa.table({"item_id": names, "title": names, "category": names, "text": names})
    users = pa.array([f"u{user}" for user in range(log.n_users)])
    return State(sources, layout_of(log), text_vectors(0, log.n_items), users, items, {"kinds": KINDS})
