"""Instants, steps and calendar features. Times are unix seconds, UTC, int64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MINUTE, HOUR, DAY, WEEK = 60, 3_600, 86_400, 604_800
STEPS: dict[str, int] = {"hour": HOUR, "day": DAY, "week": WEEK}

# The fixed grid that serves news and groceries alike: 8 half-lives, log-spaced from 10 minutes to 180 days.
HALF_LIVES: NDArray[np.float64] = np.geomspace(10 * MINUTE, 180 * DAY, 8)


def hour_of_day(times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Hour of the day in [0, 24), UTC.

    >>> hour_of_day(np.array([0, 5400]))
    array([0. , 1.5])
    """
    return (np.asarray(times) % DAY) / HOUR


def day_of_week(times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Day of the week in [0, 7), Monday is 0; the epoch was a Thursday.

    >>> day_of_week(np.array([0, 4 * 86400]))
    array([3., 0.])
    """
    return ((np.asarray(times) + 3 * DAY) % WEEK) / DAY


def step_index(times: NDArray[np.int64], origin: int, step: int) -> NDArray[np.int64]:
    """Number of the step of `step` seconds that holds each time; step 0 begins at `origin`."""
    return (np.asarray(times, dtype=np.int64) - origin) // step


def last_complete_step(time: int, origin: int, step: int) -> int:
    """The newest step that is wholly over at `time`: all its events are strictly before `time`."""
    return int((time - origin) // step) - 1
