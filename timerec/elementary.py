"""Elementary functions of float32 numbers for compiled passes, written so that loops over them become vector instructions."""

from __future__ import annotations

import numpy as np
from numba import njit

LIMIT = np.float32(6.0)  # standard deviations kept
ONE, HALF = np.float32(1.0), np.float32(0.5)
LOG2E, MAGIC = np.float32(1.4426950408889634), np.float32(12582912.0)  # adding 1.5 * 2**23 rounds to a whole number
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
SMALLEST, LARGEST = np.float32(-87.0), np.float32(87.0)  # whose exponentials are ordinary numbers
EXPONENT, BIAS = np.int32(1 << 23), np.int32(127)  # of a float32
A2, A3, A4, A5, A6 = (np.float32(1 / factor) for factor in (2, 6, 24, 120, 720))  # Taylor's series


@njit(cache=True, error_model="numpy")
def limited(value):
    """A number of standard deviations, no further from zero than LIMIT."""
    value = LIMIT if value > LIMIT else value  # so turned that NaN stays NaN
    return -LIMIT if value < -LIMIT else value


@njit(cache=True, nogil=True)
def exponentials(values, bits):
    """Replace each of `values` by its exponential, to a unit or two in the last place; `bits` is int32 scratch as long.

    As 2**n * exp(rest), with |rest| below .35 (Cody & Waite, 1980): without calls and branches it becomes vector instructions.
    """
    scale = bits.view(np.float32)
    for k in range(len(values)):
        value = min(max(values[k], SMALLEST), LARGEST)
        twos = (value * LOG2E + MAGIC) - MAGIC
        rest = (value - twos * LN2_HIGH) - twos * LN2_LOW
        series = ((A6 * rest + A5) * rest + A4) * rest + A3
        values[k] = ((series * rest + A2) * rest + ONE) * rest + ONE
        bits[k] = (np.int32(twos) + BIAS) * EXPONENT
    for k in range(len(values)):
        values[k] *= scale[k]
