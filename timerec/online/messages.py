"""What the replicas of a running system say to each other about one request."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Seen(NamedTuple):
    """One event of a history that comes with a request."""

    item_id: str
    timestamp: int  # unix seconds
    event: str = ""  # kind
    value: float = 1.0


class Ask(NamedTuple):
    """A request for recommendations."""

    user_id: str | None  # None for somebody who brings a history, or nothing
    at: int  # unix seconds: what happened strictly before counts
    k: int = 10
    history: tuple[Seen, ...] | None = None  # takes the place of the user's own
    exclude: tuple[str, ...] = ()  # items that are not wanted
    items: tuple[str, ...] | None = None  # only these are
    category: str | None = None  # only items of this category
    diversity: float = 0.0  # 0: by score alone, 1: as unlike each other as can be
    explain: bool = False


class Heard(NamedTuple):
    """What the encoder says of one request."""

    user: NDArray[np.float32]  # [width] state of the user
    events: NDArray[np.float32]  # [n, width] keys of the latest events
    seq: int = 0  # place in the store up to which it knows all events
    behind: bool = False  # the store could not be reached


class Waits(NamedTuple):
    """How many seconds an answer waits for what it can do without."""

    encoder: float
    forecaster: float


class Answer(NamedTuple):
    """The best items of one request, in their order."""

    items: list[dict[str, Any]]  # item_id, score, title, category; with `explain` also the parts of the score
    known: bool  # whether the user has a history
    seq: int  # place in the store up to which it knows all events
    heard: int | None = None  # the same of the encoder; None where it said nothing
    behind: bool = False  # the store could not be reached
    model: str = ""  # digest of bundle and base log
    forecast: tuple[int, int] = (0, 0)  # steps in the table of forecasts, and the place in the store when it was made
