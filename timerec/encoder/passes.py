"""What the history encoder does between matrix products, compiled for answers on a processor; all arrays are float32.

Rows are those of several histories end to end: the events of each, the newest last, and behind them the token that asks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.elementary import HALF, ONE, exponentials, limited
from timerec.encoder.history import BUCKETS, LONGEST

AGES, SPAN = np.float32(BUCKETS), np.float32(LONGEST)
EPSILON = np.float32(1e-5)  # of torch's LayerNorm
ROOT_HALF = np.float32(0.5**0.5)
# erf to 1.5e-7 (Abramowitz & Stegun, 1964, 7.1.26)
P, E1, E2, E3, E4, E5 = map(np.float32, (0.3275911, 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))


@njit(cache=True, nogil=True, error_model="numpy")
def tokens(history, gaps, values, context, start, vectors, value, shift, age, place, mean, scale, kept, ask, base, out):
    """Fill the rows [n, width] of histories [B, L], the newest event last; request r has start[r] to start[r + 1].

    Args:
        gaps, values: [B, L]; context: [B, G], as `timerec.candidates.window` gives them.
        vectors: [I, width], of which the last one stands for items behind them.
        value, shift: [width], weight and bias of a value; age: [BUCKETS, width]; place: [L, width], by how late an event is.
        mean, scale, kept: [G] of the context; ask: [G, width] and base: [width], its projection.
    """
    length, last = history.shape[1], len(vectors) - 1
    for r in range(len(history)):
        known = start[r + 1] - start[r] - 1
        for e in range(known):
            p = length - known + e
            bucket = min(max(np.int64(gaps[r, p] / SPAN * AGES), 0), BUCKETS - 1)
            vector, row = vectors[min(history[r, p], last)], out[start[r] + e]
            for k in range(len(row)):
                row[k] = vector[k] + values[r, p] * value[k] + shift[k] + age[bucket, k] + place[length - 1 - p, k]
        row = out[start[r + 1] - 1]
        row[:] = base
        for g in range(len(mean)):
            told = limited((context[r, g] - mean[g]) / scale[g]) * kept[g]
            for k in range(len(row)):
                row[k] += told * ask[g, k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def add_and_norm(x, change, weight, bias, out):
    """Add `change` to the rows x [n, width], and write them into `out` on one scale (Ba, Kiros & Hinton, 2016)."""
    width = x.shape[1]
    for n in range(len(x)):
        row, total, square = x[n], np.float32(0.0), np.float32(0.0)
        for k in range(width):
            row[k] += change[n, k]
            total += row[k]
        mean = total / np.float32(width)
        for k in range(width):
            square += (row[k] - mean) * (row[k] - mean)
        unit = ONE / np.sqrt(square / np.float32(width) + EPSILON)
        for k in range(width):
            out[n, k] = (row[k] - mean) * unit * weight[k] + bias[k]


@njit(cache=True, nogil=True, error_model="numpy")
def attend(parts, start, heads, out):
    """Attention of each row to all rows of its history.

    Args:
        parts: [n, 3 width] queries, keys and values, each by head; out: [n, width].
    """
    width = out.shape[1]
    size = width // heads
    unit = np.float32(1 / np.sqrt(size))
    longest = 0
    for r in range(len(start) - 1):
        longest = max(longest, start[r + 1] - start[r])
    keys, near = np.empty((size, longest), np.float32), np.empty(longest, np.float32)
    bits = np.empty(longest, np.int32)
    for r in range(len(start) - 1):
        first, n = start[r], start[r + 1] - start[r]
        for h in range(heads):
            for j in range(n):
                for s in range(size):
                    keys[s, j] = parts[first + j, width + h * size + s] * unit
            for i in range(first, first + n):
                near[:n] = 0.0
                for s in range(size):
                    query = parts[i, h * size + s]
                    for j in range(n):
                        near[j] += query * keys[s, j]
                top = near[0]
                for j in range(1, n):
                    top = max(top, near[j])
                for j in range(n):
                    near[j] -= top
                exponentials(near[:n], bits)
                total = np.float32(0.0)
                row = out[i, h * size : (h + 1) * size]
                row[:] = 0.0
                for j in range(n):
                    total += near[j]
                    for s in range(size):
                        row[s] += near[j] * parts[first + j, 2 * width + h * size + s]
                for s in range(size):
                    row[s] /= total


@njit(cache=True, nogil=True, error_model="numpy")
def gelu(x):
    """Replace each of x [n, width] by x times the normal distribution function at x (Hendrycks & Gimpel, 2016)."""
    tail, bits = np.empty(x.shape[1], np.float32), np.empty(x.shape[1], np.int32)
    for n in range(len(x)):
        row = x[n]
        for k in range(len(row)):
            tail[k] = -HALF * row[k] * row[k]
        exponentials(tail, bits)
        for k in range(len(row)):
            t = ONE / (ONE + P * abs(row[k]) * ROOT_HALF)
            beyond = HALF * tail[k] * t * (E1 + t * (E2 + t * (E3 + t * (E4 + t * E5))))  # what lies above |x|
            row[k] *= ONE - beyond if row[k] > 0 else beyond
