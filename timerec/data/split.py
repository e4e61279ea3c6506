"""The global split in time. Nothing is ever split by user or at random: both leak the future."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timerec.data.passes import read_arrow
from timerec.schema import DataError, Prepared

_BINS = 1 << 16


def time_quantiles(shards: Sequence[Path], quantiles: Sequence[float], first: int, last: int) -> list[int]:
    """Exact quantiles of the event times of all shards, as `int(np.quantile(times, q))`, holding one shard at a time.

    A histogram finds the bins of the order statistics asked for; a second pass keeps only the times in those bins.

    Args:
        first, last: smallest and largest time in the shards, unix seconds.
    """
    width = (last - first) // _BINS + 1
    histogram = np.zeros(_BINS, np.int64)
    for path in shards:
        histogram += np.bincount((_times(path) - first) // width, minlength=_BINS)
    upto = np.cumsum(histogram)
    n = int(upto[-1])
    places = [quantile * (n - 1) for quantile in quantiles]
    needed = sorted({place for exact in places for place in (int(exact), min(int(exact) + 1, n - 1))})
    bins = np.searchsorted(upto, needed, side="right")
    wanted = np.zeros(_BINS, bool)
    wanted[bins] = True
    kept = [times[wanted[(times - first) // width]] for times in map(_times, shards)]
    times = np.sort(np.concatenate(kept))
    before = np.concatenate([[0], np.cumsum(np.where(wanted, histogram, 0))])
    statistic = {place: float(times[before[b] + place - (upto[b] - histogram[b])]) for place, b in zip(needed, bins, strict=True)}
    return [int(_between(statistic[int(x)], statistic[min(int(x) + 1, n - 1)], x - int(x))) for x in places]


def _between(low: float, high: float, share: float) -> float:
    # the two forms and the switch at one half are those of np.quantile, to the last bit
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def check_split(val_from: int, test_from: int, first: int, last: int) -> None:
    """Refuse a split that leaves a part without events.

    Raises:
        DataError: training, validation or test would be empty.
    """
    if not first < val_from < test_from <= last:
        raise DataError(
            f"interactions, column 'timestamp': the split needs first event < val_from < test_from <= last event, not "
            f"{first}, {val_from}, {test_from}, {last}; give other dates as val_from and test_from, or a longer log"
        )


def seen_before(user: NDArray[np.int32], item: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask [N]: the user had an event with the item at a strictly earlier time. Events in any order."""
    order = np.lexsort((time, item, user))
    same = np.zeros(len(order), bool)
    same[1:] = (user[order][1:] == user[order][:-1]) & (item[order][1:] == item[order][:-1])
    starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    mask = np.zeros(len(order), bool)
    mask[order] = time[order] > time[order][starts]
    return mask


def _times(path: Path) -> NDArray[np.int64]:
    return np.asarray(read_arrow(path)[Prepared.TIME].to_numpy(), dtype=np.int64)
