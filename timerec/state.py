"""Everything that requests are answered from, opened from a prepared log and the tables learnt on it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.candidates.arrivals import arrivals
from timerec.candidates.pairs import ForecastTable, Layout, Sources, Workspace, layout, workspace
from timerec.candidates.similar import Similar
from timerec.candidates.without import offer
from timerec.encoder.reduce import Reducer
from timerec.eventlog import EventLog, open_log
from timerec.forecaster.features import ForecastFeatures
from timerec.schema import Columns, Prepared


@dataclass(frozen=True)
class State:
    """A log, its catalogue, and what encoder, forecaster and item-to-item model say of it."""

    sources: Sources
    layout: Layout
    text: NDArray[np.float32]  # [I, D] vectors of the language model, zero rows without text
    users: pa.Array  # [U] user ids in order of their indices
    items: pa.Table  # [I] item_id, title, category
    manifest: dict[str, Any]

    @property
    def log(self) -> EventLog:
        return self.sources.log

    def workspace(self) -> Workspace:
        """Scratch memory for requests on this state, for one thread."""
        return workspace(self.log, len(self.manifest["kinds"]))

    def without(self, names: Collection[str]) -> State:
        """The same state for a model that leaves the sources `names` out (`fusion.without`): its candidates are chosen so."""
        return replace(self, sources=self.sources._replace(offer=offer(names)))

    def first_known(self) -> NDArray[np.int64]:
        """Unix seconds [I] from which each item can be recommended: strictly after its first event, or once listed."""
        log = self.log
        first = np.full(log.n_items, np.iinfo(np.int64).max // 2)
        some = log.item_size > 0
        first[some] = log.occurrence_time[log.item_start[some]] + 1
        return np.minimum(first, log.listed)


def open_state(
    prepared: Path, text: NDArray[np.float32], forecast: ForecastFeatures, similar: Similar, reducer: Reducer,
    families: NDArray[np.int32] | None = None,
) -> State:  # fmt: skip
    """Open a prepared directory.

    Args:
        text: float32 [I, D], row i for item i of the prepared catalogue.
        similar: item-to-item weights in the same item order.
        reducer: maps text vectors to the short ones that the pair features use, and to families of items.
        families: what `reducer` says of them, where that is known already.
    """
    manifest = json.loads((prepared / Prepared.MANIFEST).read_text())
    table = ForecastTable(
        np.asarray(forecast.offsets),
        np.asarray(forecast.first_step),
        np.asarray(forecast.values),
        int(forecast.origin),
        int(forecast.step),
    ).writable()
    log = open_log(prepared / Prepared.LOG)
    short = reducer(text)
    families = reducer.families(short) if families is None else families
    sources = Sources(log, table, similar, short, families, arrivals(log), bool(manifest["repeats"]))
    columns = [Columns.ITEM, Columns.TITLE, Columns.CATEGORY, Columns.TEXT]
    items = pq.read_table(prepared / Prepared.ITEMS, columns=columns)
    users = pq.read_table(prepared / Prepared.USERS, columns=[Columns.USER])[Columns.USER].combine_chunks()
    names = layout(manifest["attribute_names"], forecast.names, manifest["kinds"])
    return State(sources, names, text, users, items, manifest)
