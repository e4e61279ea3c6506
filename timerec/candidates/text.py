"""How near an item's text is to the texts of the user's history."""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.candidates.order import place
from timerec.kernel import borrowing

FEATURES = ["text_recent", "text_profile", "text_nearest", "text_last"]
RECENT = 10
PROFILE = 200
PROFILE_DECAY = 0.98


@njit(cache=True, fastmath=True)
def profile(log, vectors, begin, known, recent, centre, step=0):
    """Write the mean vector of the latest RECENT events and the slowly decayed mean of the latest PROFILE, unit length.

    Args:
        vectors: float32 [I, D], unit rows or zero.
        recent, centre: float32 [D].
        step: as in `timerec.candidates.order`; with one the mean is not decayed.
    """
    recent[:] = 0.0
    centre[:] = 0.0
    weight = np.float32(1.0)
    for k in range(min(known, PROFILE)):
        row = vectors[log.event_item[begin + place(k, known, step)]]
        if k < RECENT:
            recent += row
        centre += weight * row
        if not step:
            weight *= np.float32(PROFILE_DECAY)
    recent /= np.sqrt(np.sum(recent * recent)) + np.float32(1e-6)
    centre /= np.sqrt(np.sum(centre * centre)) + np.float32(1e-6)


@njit(cache=True, fastmath=True)
def _dot(a, b):
    total = np.float32(0.0)
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@borrowing
def features(log, vectors, item, begin, known, recent, centre, out, step=0):
    """Fill the text features of one item: cosines to the recent events, the profile, the nearest and the last event."""
    row = vectors[item]
    out[0] = _dot(row, recent)
    out[1] = _dot(row, centre)
    best = np.float32(-1.0 if known else 0.0)
    for k in range(min(known, RECENT)):
        near = _dot(row, vectors[log.event_item[begin + place(k, known, step)]])
        best = max(best, near)
        if k == 0:
            out[3] = near
    out[2] = best
    if known == 0:
        out[3] = 0.0
