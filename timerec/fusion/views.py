"""The views of `timerec.fusion.standardise` on the processor: one pass over the candidates, to the last bit what tensors give.

A dozen passes over tensors as large as a batch of features took a fifth of an answer; each row of this one stays in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.elementary import HALF, ONE, limited

BINS = 16  # between the quantiles from which places are told
NARROW = np.float32(1e-6)  # quantiles that are less apart are equal
UNIFORM = np.float32(12**0.5)  # the inverse of a uniform variable's deviation


@njit(cache=True, nogil=True, error_model="numpy")
def views(
    features, best, mean, scale, distance_mean, distance_scale, quantiles, below, place_mean, out
):  # fmt: skip
    """Fill `out`, float32 [B, C, 3, F], with levels, distances and places of features [B, C, F] with the best ones [B, F].

    Args:
        quantiles, below: [F, BINS + 1], all others [F]; the buffers of `Standardise`.
    """
    # loops over features are kept so plain that each becomes vector instructions; division by zero is never looked for
    requests, candidates, width = features.shape
    edges = quantiles.T.copy()
    bins = np.empty((width, BINS, 4), np.float32)  # low edge, width, place at the low edge, rise
    for f in range(width):
        for b in range(BINS):
            bins[f, b, 0] = quantiles[f, b]
            bins[f, b, 1] = max(quantiles[f, b + 1] - quantiles[f, b], NARROW)
            bins[f, b, 2] = below[f, b]
            bins[f, b, 3] = below[f, b + 1] - below[f, b]
    highest, number = np.empty(width, np.float32), np.empty(width, np.int32)
    low, span = np.empty(width, np.float32), np.empty(width, np.float32)
    under, rise = np.empty(width, np.float32), np.empty(width, np.float32)
    for r in range(requests):
        for f in range(width):
            highest[f] = limited((best[r, f] - mean[f]) / scale[f])
        for c in range(candidates):
            row, level, distance, place = features[r, c], out[r, c, 0], out[r, c, 1], out[r, c, 2]
            for f in range(width):
                level[f] = limited((row[f] - mean[f]) / scale[f])
            for f in range(width):
                distance[f] = limited((level[f] - highest[f] - distance_mean[f]) / distance_scale[f])
            number[:] = 0
            for b in range(1, BINS):
                edge = edges[b]
                for f in range(width):
                    number[f] += np.int32(row[f] >= edge[f])
            for f in range(width):
                bin_ = bins[f, number[f]]
                low[f], span[f], under[f], rise[f] = bin_[0], bin_[1], bin_[2], bin_[3]
            for f in range(width):
                within = (row[f] - low[f]) / span[f]
                within = ONE if within > ONE else within
                within = np.float32(0) if within < 0 else within
                # from the nearer edge, as torch.lerp does; exact in either, since a rise is 0 or 1
                near, far = under[f] + within * rise[f], under[f] + rise[f] - rise[f] * (ONE - within)
                place[f] = ((near if within < HALF else far) / np.float32(BINS) - place_mean[f]) * UNIFORM
