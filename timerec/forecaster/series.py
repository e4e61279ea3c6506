"""Item series: ragged arrays, one row a step from the item's first event to the end of the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DENSE_CELLS = 20_000_000  # items x steps from which a fit cuts its series
CUT_STEPS = 512  # steps a series is cut to then


@dataclass(frozen=True)
class ItemSeries:
    """One series an item; item i owns `y[offsets[i]:offsets[i + 1]]`, whose first entry is step `first_step[i]`.

    Attributes:
        offsets: int64 [n_items + 1].
        first_step: int32 [n_items]; the first step with an event, `n_steps` for an item without any.
        y: float32 [total], never negative; steps without events are 0.
        origin: unix seconds (UTC) at which step 0 begins.
        step: seconds in a step.
        n_steps: steps of the log.
        beside: float32 [total, P], what else is known at the end of each step (see `known.py`); None: nothing.
    """

    offsets: NDArray[np.int64]
    first_step: NDArray[np.int32]
    y: NDArray[np.float32]
    origin: int
    step: int
    n_steps: int
    beside: NDArray[np.float32] | None = None

    @property
    def n_items(self) -> int:
        """Number of items, those without a series included."""
        return len(self.first_step)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each series, int64 [n_items]."""
        return np.diff(self.offsets)

    @classmethod
    def from_long(
        cls,
        item: ArrayLike,
        step: ArrayLike,
        y: ArrayLike,
        n_items: int,
        n_steps: int,
        origin: int,
        step_seconds: int,
        max_steps: int = 0,
    ) -> ItemSeries:
        """Series from the non-zero rows (item [k], step [k], y [k]), in any order, each (item, step) once.

        Args:
            max_steps: a series ends so many steps after its first; 0: at the end of the log. The fit decides (see `cut_for`)
                and the decision stays with the model: it must not hang on what else the log holds when it answers.

        Raises:
            ValueError: an item or a step out of range, or a negative or non-finite y.

        >>> s = ItemSeries.from_long([1, 1], [2, 4], [3.0, 5.0], n_items=2, n_steps=6, origin=0, step_seconds=3600)
        >>> s.offsets.tolist(), s.first_step.tolist(), s.y.tolist()
        ([0, 0, 4], [6, 2], [3.0, 0.0, 5.0, 0.0])
        """
        items = np.asarray(item, dtype=np.int64)
        steps = np.asarray(step, dtype=np.int64)
        values = np.asarray(y, dtype=np.float32)
        if items.size and (items.min() < 0 or items.max() >= n_items or steps.min() < 0 or steps.max() >= n_steps):
            raise ValueError(f"series rows outside {n_items} items x {n_steps} steps")
        if not np.all(np.isfinite(values) & (values >= 0)):
            raise ValueError("series values must be finite and not negative")
        present = values > 0
        items, steps, values = items[present], steps[present], values[present]
        first = np.full(n_items, n_steps, dtype=np.int64)
        np.minimum.at(first, items, steps)
        lengths = n_steps - first
        if max_steps:
            lengths = np.minimum(lengths, max_steps)
        offsets = np.zeros(n_items + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        dense = np.zeros(offsets[-1], dtype=np.float32)
        row = steps - first[items]
        inside = row < lengths[items]
        dense[offsets[items[inside]] + row[inside]] = values[inside]
        return cls(offsets, first.astype(np.int32), dense, int(origin), int(step_seconds), int(n_steps))

    def until(self, n_steps: int) -> ItemSeries:
        """The same items as they were known at the end of step `n_steps - 1`."""
        n_steps = min(n_steps, self.n_steps)
        lengths = np.clip(n_steps - self.first_step.astype(np.int64), 0, self.lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[:-1], lengths)
        first = np.minimum(self.first_step, n_steps).astype(np.int32)
        beside = None if self.beside is None else self.beside[place]
        return ItemSeries(offsets, first, self.y[place], self.origin, self.step, n_steps, beside)

    def dense(self, items: NDArray[np.int64], width: int = 0) -> NDArray[np.float32]:
        """Series of `items` [n] side by side, time first: float32 [T, n], row j the j-th step of each; 0 after the end.

        `width` is T, or 0 for the longest of them.
        """
        lengths = self.lengths[items]
        width = width or int(lengths.max(initial=0))
        rows = np.arange(width)[:, None]
        inside = rows < lengths
        place = np.where(inside, self.offsets[items] + rows, 0)
        if not len(self.y):
            return np.zeros((width, len(items)), dtype=np.float32)
        return np.where(inside, self.y[place], np.float32(0))

    def dense_beside(self, items: NDArray[np.int64], width: int = 0) -> NDArray[np.float32]:
        """As `dense`, of what is known beside: float32 [T, n, P]; P is 0 where nothing is."""
        lengths = self.lengths[items]
        rows = np.arange(width or int(lengths.max(initial=0)))[:, None]
        if self.beside is None or not len(self.y):
            return np.zeros((len(rows), len(items), self.n_beside), dtype=np.float32)
        inside = rows < lengths
        return np.where(inside[..., None], self.beside[np.where(inside, self.offsets[items] + rows, 0)], np.float32(0))

    @property
    def n_beside(self) -> int:
        """Number of columns known beside, P."""
        return 0 if self.beside is None else self.beside.shape[1]

    def ragged(self, dense: NDArray[np.float32], items: NDArray[np.int64]) -> NDArray[np.float32]:
        """Inverse of `dense` for consecutive `items` [n]: [T, n, ...] to [sum of their lengths, ...], item by item."""
        inside = np.arange(len(dense))[:, None] < self.lengths[items]
        return np.swapaxes(dense, 0, 1)[inside.T]

    def chunks(self, size: int) -> Iterator[NDArray[np.int64]]:
        """All items in runs of `size`, so that what is dense stays small."""
        for start in range(0, self.n_items, size):
            yield np.arange(start, min(start + size, self.n_items))


def cut_for(n_items: int, n_steps: int) -> int:
    """The `max_steps` of a fit: CUT_STEPS where dense series would not fit in memory (hourly news), else 0."""
    return CUT_STEPS if n_items * n_steps > DENSE_CELLS else 0
