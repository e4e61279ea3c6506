"""Sizes that follow from the data: the one place where `auto` and 0 are resolved."""

from __future__ import annotations

import numpy as np

from timerec.config import TrainConfig

SEGMENT = 16_000  # most requests between two validations
PASSES = 2.0  # how often a small log's requests are seen in all
MOST_SEGMENTS = 3
SNAPSHOTS = (0.35, 0.6, 0.8)  # quantiles of training event times at which item-to-item weights are learnt
CONTINUE_RATE = 0.25  # learning rate of the last segment, on requests up to the test, against that of tuning


def segments(config: TrainConfig, available: int) -> tuple[int, int]:
    """Requests a segment, and number of segments before the last one.

    A log with fewer than SEGMENT x MOST_SEGMENTS / PASSES requests is seen PASSES times in all, in segments of a third of it, so
    that validation can stop it between; a larger one gives MOST_SEGMENTS draws of SEGMENT, newer requests more often.
    """
    size = config.requests or min(SEGMENT, max(500, -(-available // 3)))
    size = min(size, available)
    count = config.epochs or int(np.clip(round(PASSES * available / size), 1, MOST_SEGMENTS))
    return size, count
