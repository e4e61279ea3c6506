"""Small random logs with everything that is awkward: equal times, repeated items, items and users that come late."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from timerec.evaluation.protocol import Requests, sample_requests

N_USERS, N_ITEMS = 30, 24
VAL, TEST, END = 6_000, 8_000, 10_001


class Log(NamedTuple):
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.int64]


def random_log(seed: int, n: int = 700, scale: int = 1) -> Log:
    """Events sorted by (user, time, item); item i cannot occur before i * 400, and some events occur twice.

    Args:
        scale: seconds a unit of time.
    """
    rng = np.random.default_rng(seed)
    time = rng.integers(0, END // 50, n) * 50
    item = np.floor(rng.random(n) ** 2 * np.minimum(time // 400 + 1, N_ITEMS)).astype(np.int32)
    user = rng.integers(0, N_USERS, n).astype(np.int32)
    user[time < TEST - 1_000] %= N_USERS - 5  # some users appear late,
    user[time < TEST] %= N_USERS - 2  # and the last ones in the test only
    twice = rng.integers(0, n, n // 10)
    user, item, time = (np.concatenate([x, x[twice]]) for x in (user, item, time))
    order = np.lexsort((item, time, user))
    return Log(user[order], item[order], time[order].astype(np.int64) * scale)


def requests_of(log: Log, n: int = 120, catalogue: str = "live", scale: int = 1) -> Requests:
    """Requests of the test span."""
    return sample_requests(
        *log,
        start=TEST * scale,
        end=END * scale,
        cut=TEST * scale,
        n=n,
        seed=5,
        catalogue=catalogue,  # type: ignore[arg-type]
    )
