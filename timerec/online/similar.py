"""Items like an item: what people take together with it, then what reads alike."""

from __future__ import annotations

import numpy as np

from timerec.online.live import LiveState


class Likeness:
    """Reads the item-to-item weights and the text vectors of a state."""

    def __init__(self, state: LiveState) -> None:
        self._state = state

    def like(self, item_id: str, k: int, at: int) -> list[tuple[int, str, float]] | None:
        """Up to k items with the reason and its strength, the likest first; None for one unknown as of `at`.

        The reasons are "together" (the newest weights before `at`, see `timerec.candidates.similar`, as shares of the
        largest) and, where those are too few, "text" (cosine). Items that nobody had before `at` and that were not listed
        are left out.

        Args:
            at: unix seconds.
        """
        items = self._state.intake.items
        index = items.index(item_id)
        if not self._state.known(np.array([index], np.int32), at)[0]:
            return None
        log, similar = self._state.live.log, self._state.sources.similar
        size, start = log.item_size, log.item_start
        first = np.where(size > 0, log.occurrence_time[np.minimum(start, len(log.occurrence_time) - 1)], at)
        known = (first < at) | (log.listed <= at)
        known[index] = False
        found: list[tuple[int, str, float]] = []
        snapshot = int(np.searchsorted(similar.time, at, side="right")) - 1
        row = int(similar.row[snapshot, index]) if snapshot >= 0 else -1
        if row >= 0:
            other, weight = similar.item[snapshot, row], similar.weight[snapshot, row]
            kept = (other >= 0) & (weight > 0)
            other, weight = other[kept], weight[kept]
            order = np.argsort(-weight, kind="stable")
            order = order[known[other[order]]][:k]
            top = float(weight[order[0]]) if len(order) else 1.0
            found = [(int(other[place]), "together", float(weight[place]) / top) for place in order]
        if len(found) < k:
            vectors, _ = self._state.vectors(np.arange(log.n_items))
            likeness = vectors @ vectors[index] if vectors.shape[1] else np.zeros(log.n_items, np.float32)
            known[[other for other, _, _ in found]] = False
            likeness = np.where(known & (likeness > 0), likeness, -np.inf)
            order = np.argsort(-likeness, kind="stable")[: k - len(found)]
            found += [(int(place), "text", float(likeness[place])) for place in order if np.isfinite(likeness[place])]
        return found
