"""What every event store does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from timerec.store.events import Accepted, Event, Stored

REQUESTS_KEPT = 100_000  # answered requests that are kept for replay, 1.4 kB each as a rule; older ones go


class StoreUnavailable(Exception):
    """The store cannot be reached or cannot write at this moment: the same call may succeed later."""


class EventStore(ABC):
    """Events in order of arrival, and a log of answered requests.

    Threads and processes may use one store at a time. Every method raises `StoreUnavailable` where the store cannot be
    reached, and `timerec.schema.DataError` where it is damaged or a text cannot be stored.
    """

    @abstractmethod
    def append(self, events: Sequence[Event]) -> list[Accepted]:
        """Store the events, all or none; on disk when it returns. One answer an event, in the same order.

        An event whose id is known, from earlier or from the same call, is not stored again; it is answered with the seq of
        the first. So a call that failed or was cut off may be repeated.

        Seqs are positive and rise in the order of commit: who has read up to seq s never finds a new event at or below s.

        Raises:
            DataError: an event cannot be stored (see `timerec.store.events.storable`); none is.
        """

    @abstractmethod
    def since(self, seq: int, limit: int = 10_000) -> list[Stored]:
        """The first `limit` events with a greater seq, in order of seq. Cheap where there is none."""

    @abstractmethod
    def last(self) -> int:
        """The greatest seq that was ever given, 0 where there was none. It never falls, not after `remove` either."""

    @abstractmethod
    def count(self) -> int:
        """How many events are stored. It may read the whole store."""

    @abstractmethod
    def history(self, user_id: str, before: int | None = None, limit: int = 100) -> list[Stored]:
        """A user's events, the newest timestamp first, of equal ones the greater seq first.

        Args:
            before: unix seconds; only events strictly earlier.
        """

    @abstractmethod
    def get(self, event_id: str) -> Stored | None:
        """The event of this id, None where it is not stored (any more)."""

    @abstractmethod
    def log_requests(self, records: Sequence[tuple[str, str]]) -> None:
        """Keep answered requests: (request_id, JSON text) each. Of a request_id the first record stays.

        The newest `REQUESTS_KEPT` are kept.
        """

    @abstractmethod
    def request(self, request_id: str) -> str | None:
        """The record of an answered request, None where there is none (any more)."""

    @abstractmethod
    def note(self, name: str, text: str) -> None:
        """Keep a text under a name, in place of what was there: what all processes of a service share."""

    @abstractmethod
    def renote(self, name: str, text: str, was: str | None) -> bool:
        """`note` where the text under the name is still `was` (None: there is none), in one step; False where it is not.

        Where it is `text` already, that is well: a call that was cut off may be repeated.
        """

    @abstractmethod
    def noted(self, name: str) -> str | None:
        """The text under a name, None where there is none. Cheap."""

    @abstractmethod
    def remove(self, seqs: Sequence[int]) -> int:
        """Remove events; returns how many there were. Their ids stay known and their seqs are never given again."""

    @abstractmethod
    def shrink(self) -> None:
        """Give the space of removed events back to the disk. Slow: appends wait meanwhile, or the server is busy with it."""

    @abstractmethod
    def ping(self) -> None:
        """Return where the store can be reached.

        Raises:
            StoreUnavailable: it cannot.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. A closed store raises StoreUnavailable."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
