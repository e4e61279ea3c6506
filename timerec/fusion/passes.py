"""What the network does between matrix products, compiled for answers on a processor; all arrays are float32.

An answer is about one person. There each of the sixty small operations of the general form costs more than its arithmetic, and
wants Python's lock back, which the event loop of a replica may hold.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from timerec.elementary import ONE, exponentials, limited


@njit(cache=True, nogil=True)
def take(vectors, items, out):
    """Vectors [B, C, width] of items [B, C], the last one of `vectors` for those that are behind them."""
    last = len(vectors) - 1
    for r in range(items.shape[0]):
        for c in range(items.shape[1]):
            row = vectors[min(items[r, c], last)]
            for k in range(vectors.shape[1]):
                out[r, c, k] = row[k]


@njit(cache=True, nogil=True, error_model="numpy")
def contribution(context, mean, scale, kept, weight, bias):
    """What contexts [B, G] contribute to the joined state, the bias included: [B, hidden + 1]."""
    out = np.empty((len(context), len(bias)), np.float32)
    for r in range(len(context)):
        out[r] = bias
        for g in range(len(mean)):
            told = limited((context[r, g] - mean[g]) / scale[g]) * kept[g]
            for k in range(len(bias)):
                out[r, k] += told * weight[g, k]
    return out


@njit(cache=True, nogil=True)
def ask(user, events, count, query, bias, asked, offset):
    """Turn each event round, so that the product with an item's vector is what its key answers to the item's query.

    Args:
        user: [B, width]; events: keys [B, L, width], of which the first `count` [B] are events.
        query: [heads, width / heads, width]; bias: [heads, width / heads].
        asked: [B, heads L + 1, width] receives them by head, then the user; zero where there is no event.
        offset: [B, heads, L] receives what the query's bias adds.
    """
    heads, size, width = query.shape
    length = events.shape[1]
    unit, whole = np.float32(1 / np.sqrt(size)), np.float32(1 / np.sqrt(width))
    for r in range(len(user)):
        for h in range(heads):
            for e in range(length):
                row = asked[r, h * length + e]
                row[:] = 0.0
                constant = np.float32(0.0)
                if e < count[r]:
                    for s in range(size):
                        key = events[r, e, h * size + s] * unit
                        constant += key * bias[h, s]
                        for k in range(width):
                            row[k] += key * query[h, s, k]
                offset[r, h, e] = constant
        for k in range(width):
            asked[r, heads * length, k] = user[r, k] * whole


@njit(cache=True, nogil=True, error_model="numpy")
def join(near, offset, count, base, weight, joined, hidden, straight):
    """Add what matches say and what holds for all candidates to the joined states, and activate them.

    Args:
        near: [B, heads L + 1, C], changed; offset: [B, heads, L], of which the first `count` [B] are of events.
        base: [B, hidden + 1]; weight: [1 + heads, hidden + 1] of the matches.
        joined: [B, C, hidden + 1]; hidden: [B C, hidden] and straight: [B, C] receive activated states and direct contributions.
    """
    requests, heads, length = offset.shape
    candidates, width = joined.shape[1], hidden.shape[1]
    matches = np.zeros((1 + heads, candidates), np.float32)
    top, total = np.empty(candidates, np.float32), np.empty(candidates, np.float32)
    bits, inverse = np.empty(max(candidates, width), np.int32), np.empty(width, np.float32)
    state = np.empty(width + 1, np.float32)
    for r in range(requests):
        size = np.float32(np.log(max(count[r], 1)))
        for c in range(candidates):
            matches[0, c] = limited(near[r, heads * length, c])
        for h in range(heads if count[r] else 0):
            top[:] = -np.inf
            for e in range(count[r]):
                row, constant = near[r, h * length + e], offset[r, h, e]
                for c in range(candidates):
                    row[c] += constant
                    top[c] = max(top[c], row[c])
            total[:] = 0.0
            for e in range(count[r]):
                row = near[r, h * length + e]
                for c in range(candidates):
                    row[c] -= top[c]
                exponentials(row, bits)
                for c in range(candidates):
                    total[c] += row[c]
            for c in range(candidates):
                matches[1 + h, c] = limited(np.log(total[c]) + top[c] - size)
        if not count[r]:
            matches[1:] = 0.0
        for c in range(candidates):
            for k in range(width + 1):
                state[k] = joined[r, c, k] + base[r, k]
            for m in range(1 + heads):
                match = matches[m, c]
                for k in range(width + 1):
                    state[k] += match * weight[m, k]
            straight[r, c] = state[width]
            activate(state[:width], hidden[r * candidates + c], inverse, bits)


@njit(cache=True, nogil=True)
def rate(state, straight, weight, bias, count, scores):
    """Scores [B, C] from the middle layer [B C, n], changed, before its activation, and direct contributions [B, C].

    Args:
        count: [B] candidates of each; padded places are -inf.
    """
    bits, inverse = np.empty(state.shape[1], np.int32), np.empty(state.shape[1], np.float32)
    for r in range(len(scores)):
        for c in range(scores.shape[1]):
            row = state[r * scores.shape[1] + c]
            activate(row, row, inverse, bits)
            total = np.float32(0.0)
            for k in range(len(weight)):
                total += row[k] * weight[k]
            scores[r, c] = total + bias + straight[r, c] if c < count[r] else -np.inf


@njit(cache=True, nogil=True, error_model="numpy")
def activate(values, out, inverse, bits):
    """Write x / (1 + exp(-x)), the SiLU, of `values` into `out`, which may be the same array; the others are scratch as long."""
    for k in range(len(values)):
        inverse[k] = -values[k]
    exponentials(inverse[: len(values)], bits)
    for k in range(len(values)):
        out[k] = values[k] / (ONE + inverse[k])
