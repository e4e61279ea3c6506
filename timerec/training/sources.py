"""Where a run's state lies on disk, so that any worker can open it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.forecaster.features import ForecastFeatures
from timerec.schema import Prepared
from timerec.state import State, open_state
from timerec.training.tables import load_tables


@dataclass(frozen=True)
class StateFiles:
    """Folders of a prepared log, its text vectors, its forecast features and the learnt tables."""

    prepared: Path
    vectors: Path  # .npy, float32 [I, D]
    forecast: Path
    tables: Path
    renewed: Path | None = (
        None  # text vectors of the fine-tuned language model: the network reads them, features stay as they were
    )

    families: Path | None = None  # .npy, int32 [I]: family of each item, where it was kept

    def manifest(self) -> dict[str, Any]:
        """The manifest of the prepared log."""
        found: dict[str, Any] = json.loads((self.prepared / Prepared.MANIFEST).read_text())
        return found

    def open(self) -> State:
        """Open them; the large arrays are memory-mapped."""
        similar, reducer = load_tables(self.tables)
        text = np.load(self.vectors, mmap_mode="c")
        state = open_state(
            self.prepared, np.asarray(text), ForecastFeatures.load(self.forecast), similar, reducer, self._families()
        )
        return replace(state, text=np.load(self.renewed)) if self.renewed else state

    def _families(self) -> NDArray[np.int32] | None:
        return None if self.families is None else np.load(self.families)
