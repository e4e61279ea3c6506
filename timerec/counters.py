"""Decayed counters: the one time primitive, offline and online.

For a key and a half-life H the counter after event j is c_j = c_(j-1) 2^(-(t_j - t_(j-1)) / H) + w_j, and its value as of t is
c 2^(-(t - t_last) / H) with t_last < t. States are kept as float32 and each step starts from the stored state, so that a state
built from a whole log and one advanced event by event are the same numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.kernel import borrowing


@borrowing
def advance(previous, gap, weight, half_lives, out):
    """Write into `out` [H] the state one event after `previous` [H], `gap` seconds later."""
    for h in range(len(half_lives)):
        out[h] = previous[h] * np.exp2(-gap / half_lives[h]) + weight


@njit(cache=True)
def decayed_states(start, size, time, weight, half_lives):
    """States after every event.

    Args:
        start, size: int64 [K], the slab of each key in the event arrays.
        time: int64 [N] unix seconds, ascending within a key.
        weight: float32 [N].
        half_lives: float64 [H] seconds.

    Returns:
        float32 [N, H]; row j is the state of its key just after event j.
    """
    states = np.zeros((len(time), len(half_lives)), np.float32)
    nothing = np.zeros(len(half_lives), np.float32)
    for key in range(len(start)):
        for j in range(start[key], start[key] + size[key]):
            if j == start[key]:
                advance(nothing, 0, weight[j], half_lives, states[j])
            else:
                advance(states[j - 1], time[j] - time[j - 1], weight[j], half_lives, states[j])
    return states


@borrowing
def before(time, start, size, t):
    """Number of events of the slab [start, start + size) strictly before t (binary search, unless t is after all of them)."""
    if size == 0 or time[start + size - 1] < t:
        return size
    low, high = start, start + size
    while low < high:
        middle = (low + high) >> 1
        if time[middle] < t:
            low = middle + 1
        else:
            high = middle
    return low - start


@borrowing
def value_as_of(states, time, start, known, t, half_lives, out):
    """Write into `out` [H] the counter of a slab as of t; `known` is its number of events strictly before t."""
    if known == 0:
        out[:] = 0.0
        return
    j = start + known - 1
    for h in range(len(half_lives)):
        out[h] = states[j, h] * np.exp2(-(t - time[j]) / half_lives[h])


def values(
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    time: NDArray[np.int64],
    states: NDArray[np.float32],
    keys: NDArray[np.int64],
    times: NDArray[np.int64],
    half_lives: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Counters of `keys` [R] as of `times` [R]: float32 [R, H]. Key -1 has no events."""
    return _values(start, size, time, states, keys, times, half_lives)


@njit(cache=True)
def _values(start, size, time, states, keys, times, half_lives):
    out = np.zeros((len(keys), len(half_lives)), np.float32)
    for r in range(len(keys)):
        key = keys[r]
        if key >= 0:
            known = before(time, start[key], size[key], times[r])
            value_as_of(states, time, start[key], known, times[r], half_lives, out[r])
    return out
