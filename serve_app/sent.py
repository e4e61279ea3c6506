"""What was sent, as the parts of the service take it: moments, limits, and the sentences about what is amiss."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime

from serve_app.clock import Clock
from serve_app.problems import Problem
from serve_app.schemas import NewEvent, RecommendRequest
from serve_app.settings import Limits
from timerec.online.messages import Ask, Seen
from timerec.store.events import Event

AHEAD = 86_400  # seconds by which an event may be ahead of the clock


class Sent:
    """Reads requests and events by a service's clock and limits. Every method raises `Problem` where something is amiss."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits, self._clock = limits, clock

    def request(self, body: RecommendRequest) -> Ask:
        """A request for a list."""
        limits = self._limits
        at_most(body.k, limits.k, "k")
        at_most(len(body.exclude), limits.items, "exclude")
        at_most(len(body.items or ()), limits.items, "items")
        at_most(len(body.history or ()), limits.history, "history")
        at = self._clock.next_second() if body.at is None else self._past(body.at, "at")
        history = None
        if body.history is not None:
            seen = (Seen(one.item_id, _second(one.timestamp, "history.timestamp"), one.event, one.value) for one in body.history)
            history = tuple(sorted(seen, key=lambda one: one.timestamp))
        items = None if body.items is None else tuple(body.items)
        return Ask(body.user_id, at, body.k, history, tuple(body.exclude), items, body.category, body.diversity, body.explain)

    def event(self, one: NewEvent, now: float) -> Event:
        """An event that came at `now`, unix seconds."""
        moment = int(now) if one.timestamp is None else _second(one.timestamp, "timestamp")
        late = self._limits.late_days
        if 0 <= moment < now - late * 86_400:
            raise Problem(422, f"timestamp {moment} is more than {late} days ago: add such events with `timerec store load`")
        if not 0 <= moment <= now + AHEAD:
            raise Problem(422, f"timestamp {moment} is before 1970 or more than a day ahead of {int(now)}: correct it")
        return Event(one.event_id or uuid.uuid4().hex, one.user_id, one.item_id, moment, one.event, one.value)

    def moment(self, text: str | None) -> int:
        """Unix seconds of a moment in a URL, by default now."""
        if text is None:
            return self._clock.next_second()
        try:
            moment: float | datetime = float(text)
        except ValueError:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                raise Problem(422, f"at {text[:40]!r} is no time: write unix seconds or ISO 8601") from None
        return self._past(moment, "at")

    def _past(self, moment: float | datetime, name: str) -> int:
        at, latest = _seconds(moment, name), self._clock.next_second()
        if at > latest:
            raise Problem(422, f"{name} {at} is in the future (it is {latest} here): ask as of now or earlier")
        return at


def _exact(moment: float | datetime, name: str) -> float:
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(moment) or abs(moment) > 2**40:
        raise Problem(422, f"{name} {moment} is no time: write unix seconds or ISO 8601")
    return moment


def _second(moment: float | datetime, name: str) -> int:
    """The second in which something happened, in a history as in the store: of what is asked now, this second counts."""
    return math.floor(_exact(moment, name))


def _seconds(moment: float | datetime, name: str) -> int:
    """Whole unix seconds; what happened strictly before half past a second includes all of that second."""
    return math.ceil(_exact(moment, name))


def at_most(given: int, most: int, name: str) -> None:
    """Raises a Problem where more is given than one request may have."""
    if given > most:
        raise Problem(422, f"{name}: {given} is more than the {most} that one request may have")
