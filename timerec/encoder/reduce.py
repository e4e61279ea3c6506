"""Short text vectors for the pair features, principal components of the language model's, and families of items by them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

WIDTH = 48
SAMPLE = 20_000
FAMILY = 4  # distinct texts a family, about, in catalogues of up to FAMILY x FAMILIES texts
FAMILIES = 4096  # at most: in larger catalogues families are larger


@dataclass(frozen=True)
class Reducer:
    """A linear map to at most WIDTH dimensions, then unit length; and the centres of families of like texts there."""

    mean: NDArray[np.float32]  # [D]
    components: NDArray[np.float32]  # [d, D]
    centres: NDArray[np.float32]  # [K, d] of the families

    def __call__(self, text: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit rows [I, d]; an item without text (a zero row) stays zero."""
        short = (text - self.mean) @ self.components.T
        short /= np.linalg.norm(short, axis=1, keepdims=True) + 1e-6
        short[~text.any(1)] = 0.0
        return np.ascontiguousarray(short, dtype=np.float32)

    def families(self, short: NDArray[np.float32]) -> NDArray[np.int32]:
        """Family of each item, int32 [I], numbered from 0 without gaps; items without text are one of their own."""
        from sklearn.metrics import pairwise_distances_argmin  # here: it takes seconds, and replicas are given them

        found = np.full(len(short), -1, np.int64)
        told = short.any(1)
        if told.any():
            found[told] = pairwise_distances_argmin(short[told], self.centres)
        return np.unique(found, return_inverse=True)[1].astype(np.int32)


def fit(text: NDArray[np.float32], seed: int) -> Reducer:
    """Fit on the distinct text vectors [I, D] of the catalogue. Texts are no events: nothing here looks ahead in time.

    Families are the clusters of mini-batch k-means (Sculley, WWW 2010) of the distinct texts: what a shop sells in several sizes
    and flavours, and people take in turns.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import PCA

    distinct = np.unique(text[text.any(1)], axis=0)
    if len(distinct) < 2:
        nothing = np.zeros((0, text.shape[1]), np.float32)
        return Reducer(np.zeros(text.shape[1], np.float32), nothing, np.zeros((0, 0), np.float32))
    if len(distinct) > SAMPLE:
        distinct = distinct[np.random.default_rng(seed).permutation(len(distinct))[:SAMPLE]]
    width = min(WIDTH, len(distinct) - 1, text.shape[1])
    found = PCA(width, random_state=seed, svd_solver="covariance_eigh").fit(distinct)
    plain = Reducer(found.mean_.astype(np.float32), found.components_.astype(np.float32), np.zeros((0, width), np.float32))
    short = plain(distinct)
    count = min(FAMILIES, max(1, len(short) // FAMILY))
    clusters = MiniBatchKMeans(count, random_state=seed, batch_size=4096, n_init=1, max_iter=20)
    return replace(plain, centres=clusters.fit(short).cluster_centers_.astype(np.float32))
