"""Sizes that follow from the data: the one place where `auto` and 0 are resolved."""

from __future__ import annotations

from timerec.config import TrainConfig

RECIPE = 2  # goes up whenever the same settings train another model: finished and interrupted trainings are then done anew
SEGMENT = 13_000  # most requests between two validations
FEWEST = 500  # fewest, where there are so many
SMALL = 64_000  # requests before validation up to which a log counts as small
SEGMENTS, SEGMENTS_SMALL = 3, 4
LAST, LAST_SMALL = 2, 1  # how many segments' requests the last segment has, which goes on up to the test
LAST_HALF_LIFE = 0.5  # of the draw of the last segment, as a share of the validation period
DRAWN = 3  # a segment draws one in so many of the requests
SNAPSHOTS = (0.35, 0.6, 0.8)  # quantiles of training event times at which item-to-item weights are learnt
CONTINUE_RATE = 0.25  # learning rate of the last segment, on requests up to the test, against that of tuning


def segments(config: TrainConfig, available: int) -> tuple[int, int]:
    """Requests a segment, and number of segments before the last one.

    A segment is a draw of a third of the requests, at least FEWEST and at most SEGMENT, newer ones more often. A small log is
    seen about once, a tiny one more often, and validation between the segments keeps the best of them, since it is soon
    overfitted.
    """
    size = config.requests or min(SEGMENT, max(FEWEST, -(-available // DRAWN)))
    return min(size, available), config.epochs or (SEGMENTS_SMALL if available <= SMALL else SEGMENTS)


def last_size(size: int, available: int) -> int:
    """Requests of the last segment, on requests up to the test, where the others have `size`.

    What is newest tells most: docs/design.md has the figures.
    """
    return size * (LAST_SMALL if available <= SMALL else LAST)
