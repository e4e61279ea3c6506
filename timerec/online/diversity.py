"""Lists whose items are unlike each other: maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def diversify(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], family: NDArray[np.integer], weight: float, k: int
) -> NDArray[np.int64]:
    """Places of k of n items, chosen one by one for (1 - weight) relevance - weight (likeness to those already chosen).

    Relevance is the score on the scale from the lowest to the highest of the n. Likeness is the cosine of the text vectors, and 1
    within a family.

    Args:
        scores: [n], descending.
        vectors: [n, D] unit rows, or zero rows without text.
        family: [n], equal for items of one kind.
        weight: 0 to 1.

    >>> diversify(np.array([3.0, 2.9, 1.0]), np.zeros((3, 2)), np.array([0, 0, 1]), 0.5, 2).tolist()
    [0, 2]
    """
    span = max(float(scores.max(initial=0.0) - scores.min(initial=0.0)), 1e-9) if len(scores) else 1.0
    relevance = (scores - scores.min()) / span if len(scores) else scores
    likeness = np.maximum(vectors @ vectors.T, family[:, None] == family[None, :])
    left = np.ones(len(scores), bool)
    nearest = np.zeros(len(scores))
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        gain = np.where(left, (1.0 - weight) * relevance - weight * nearest, -np.inf)
        best = int(np.argmax(gain))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, likeness[best])
    return np.array(chosen, np.int64)
