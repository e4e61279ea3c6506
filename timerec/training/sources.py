"""Where a run's state lies on disk, so that any worker can open it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timerec.forecaster.features import ForecastFeatures
from timerec.state import State, open_state
from timerec.training.tables import load_tables


@dataclass(frozen=True)
class StateFiles:
    """Folders of a prepared log, its text vectors, its forecast features and the learnt tables."""

    prepared: Path
    vectors: Path  # .npy, float32 [I, D]
    forecast: Path
    tables: Path

    def open(self) -> State:
        """Open them; the large arrays are memory-mapped."""
        similar, reducer = load_tables(self.tables)
        text = np.load(self.vectors, mmap_mode="c")
        return open_state(self.prepared, np.asarray(text), ForecastFeatures.load(self.forecast), similar, reducer)
