"""What time it is for a served system: the wall's, or one that starts elsewhere and runs at the same speed."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from timerec.schema import DataError


class Clock:
    """Seconds since 1970, shifted by a constant. Every process of a system gets the same shift."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def now(self) -> float:
        """Unix seconds."""
        return time.time() + self.shift

    def next_second(self) -> int:
        """The earliest moment as of which everything up to now has happened strictly before."""
        return int(self.now()) + 1


def shift_of(setting: str, last: int) -> float:
    """The shift that the setting `clock` asks for.

    Args:
        setting: wall, log or an ISO time (UTC where it says nothing else).
        last: unix seconds of the log's newest event.

    Raises:
        DataError: it is none of these.
    """
    if setting == "wall":
        return 0.0
    if setting == "log":
        return last + 1 - time.time()
    try:
        moment = datetime.fromisoformat(setting)
    except ValueError:
        raise DataError(
            f"setting clock: {setting!r} is no time: write wall, log or an ISO time such as 2017-11-26T09:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
