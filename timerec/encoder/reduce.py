"""Short text vectors for the pair features: principal components of the language model's vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

WIDTH = 48
SAMPLE = 20_000


@dataclass(frozen=True)
class Reducer:
    """A linear map to at most WIDTH dimensions, then unit length."""

    mean: NDArray[np.float32]  # [D]
    components: NDArray[np.float32]  # [d, D]

    def __call__(self, text: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit rows [I, d]; an item without text (a zero row) stays zero."""
        if not self.components.size:
            return np.zeros((len(text), 0), np.float32)
        short = (text - self.mean) @ self.components.T
        short /= np.linalg.norm(short, axis=1, keepdims=True) + 1e-6
        short[~text.any(1)] = 0.0
        return np.ascontiguousarray(short, dtype=np.float32)


def fit(text: NDArray[np.float32], seed: int) -> Reducer:
    """Fit on the distinct text vectors [I, D] of the catalogue. Texts are no events: nothing here looks ahead in time."""
    distinct = np.unique(text[text.any(1)], axis=0) if text.size else text[:0]
    if len(distinct) < 2:
        return Reducer(np.zeros(text.shape[1], np.float32), np.zeros((0, text.shape[1]), np.float32))
    if len(distinct) > SAMPLE:
        distinct = distinct[np.random.default_rng(seed).permutation(len(distinct))[:SAMPLE]]
    width = min(WIDTH, len(distinct) - 1, text.shape[1])
    found = PCA(width, random_state=seed, svd_solver="covariance_eigh").fit(distinct)
    return Reducer(found.mean_.astype(np.float32), found.components_.astype(np.float32))
