"""An event, as it is sent and as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

from timerec.schema import DataError

LATEST = 2**53  # seconds either side of 1970 that every store keeps exactly
_TEXTS = ("event_id", "user_id", "item_id", "event")


class Event(NamedTuple):
    """Something that a user did with an item."""

    event_id: str  # chosen by the sender: the same id is the same event
    user_id: str
    item_id: str
    timestamp: int  # unix seconds, UTC
    event: str = ""  # kind
    value: float = 1.0


class Stored(NamedTuple):
    """An event in the store."""

    seq: int  # place in the order of commit, from 1
    event: Event
    received: float  # unix seconds, UTC


class Accepted(NamedTuple):
    """The answer to an appended event."""

    seq: int
    duplicate: bool  # the id was known: nothing was stored, and seq is that of the first


def storable(events: Sequence[Event]) -> list[Event]:
    """The events with plain ints and floats, once all of them can be stored exactly.

    Raises:
        DataError: an id is empty, a text is no valid Unicode, a time or value is out of range.
    """
    return [_storable(event) for event in events]


def _storable(event: Event) -> Event:
    for name in _TEXTS:
        text = getattr(event, name)
        if not isinstance(text, str):
            raise DataError(f"{name} {text!r} is not text: write identifiers and kinds as strings")
        if not text and name != "event":
            raise DataError(f"{name} is empty: every event needs event_id, user_id and item_id")
        encoded(text, name)
    timestamp, value = _number(event.timestamp, "timestamp"), _number(event.value, "value")
    if timestamp != int(timestamp) or abs(timestamp) > LATEST:
        raise DataError(f"timestamp {event.timestamp!r} is not whole unix seconds: send seconds since 1970, UTC")
    return event._replace(timestamp=int(timestamp), value=float(value))


def encoded(text: str, name: str) -> bytes:
    """UTF-8 of a text.

    Raises:
        DataError: it holds half of a surrogate pair, which no encoding can carry.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{name} {text[:40]!r} is no valid Unicode: send well-formed text") from None


def _number(value: Any, name: str) -> int | float:
    try:
        number: int | float = value if isinstance(value, int) else float(value)
        if isfinite(number):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"{name} {value!r} is not a finite number: correct it")
