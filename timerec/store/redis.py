"""The event store in Redis: one server for processes on many machines."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

from timerec.schema import DataError
from timerec.store import base, redis_scripts
from timerec.store.base import EventStore, StoreUnavailable
from timerec.store.events import Accepted, Event, Stored, encoded, storable
from timerec.store.redis_server import Server, parse

VERSION = "1"
_A_SCRIPT = 1_000  # seqs removed by one script: the server does nothing else meanwhile


class RedisStore(EventStore):
    """Events in a stream with the seqs as ids, beside a hash of ids and a sorted set of seqs for each user.

    A call that fails for want of a connection is repeated a few times. An append whose first try was carried out but
    whose answer was lost is then answered as a duplicate.
    """

    def __init__(self, url: str, seconds: float = math.inf) -> None:
        """Open the store at `redis://host:port/db?prefix=shop`.

        Args:
            seconds: after so many no call is tried again.

        Raises:
            DataError: the URL, the password, the settings or the contents of the server do not fit.
            StoreUnavailable: the server cannot be reached.
        """
        address = parse(url)
        self._server = Server(address, seconds)
        client, self._root = self._server.client, f"{address.prefix}:"
        client.set_response_callback("XRANGE", lambda entries, **_: entries)  # as scripts answer, and quicker than dicts
        self._stream, self._ids, self._last, self._records, self._order, version = (
            self._root + name for name in ("events", "ids", "last", "requests", "request_order", "version")
        )
        self._append = client.register_script(redis_scripts.APPEND)
        self._history = client.register_script(redis_scripts.HISTORY)
        self._get = client.register_script(redis_scripts.GET)
        self._remove = client.register_script(redis_scripts.REMOVE)
        self._renote = client.register_script(redis_scripts.RENOTE)
        self._log_requests = client.register_script(redis_scripts.LOG_REQUESTS)
        self._server.call(lambda: client.set(version, VERSION, nx=True))
        found = self._server.call(lambda: client.get(version))
        if found != VERSION.encode():
            self.close()
            raise DataError(
                f"store {address.label}: event store of version {found!r}, where this timerec reads {VERSION}: "
                "use the timerec that it is of"
            )

    def append(self, events: Sequence[Event]) -> list[Accepted]:
        rows = storable(events)
        if not rows:
            return []
        arguments: list[Any] = [self._users]
        received = time.time()
        for row in rows:
            arguments += (row.event_id, row.user_id, row.timestamp, json.dumps([*row, received], ensure_ascii=False))
        keys = [self._stream, self._ids, self._last]
        answers = self._server.call(lambda: self._append(keys, arguments))
        return [Accepted(abs(seq), seq < 0) for seq in answers]

    def since(self, seq: int, limit: int = 10_000) -> list[Stored]:
        first = f"{max(seq, 0) + 1}-0"
        return _stored(self._server.call(lambda: self._server.client.xrange(self._stream, first, "+", limit)))

    def last(self) -> int:
        return int(self._server.call(lambda: self._server.client.get(self._last)) or 0)

    def count(self) -> int:
        return int(self._server.call(lambda: self._server.client.xlen(self._stream)))

    def history(self, user_id: str, before: int | None = None, limit: int = 100) -> list[Stored]:
        encoded(user_id, "user_id")
        highest = "+inf" if before is None else f"({before}"
        keys = [self._stream, self._users + user_id]
        return _stored(self._server.call(lambda: self._history(keys, [highest, limit])))

    def get(self, event_id: str) -> Stored | None:
        encoded(event_id, "event_id")
        found = _stored(self._server.call(lambda: self._get([self._stream, self._ids], [event_id])))
        return found[0] if found else None

    def log_requests(self, records: Sequence[tuple[str, str]]) -> None:
        arguments: list[Any] = [base.REQUESTS_KEPT]
        for request_id, text in records:
            arguments += (encoded(request_id, "request_id"), encoded(text, "record"))
        self._server.call(lambda: self._log_requests([self._records, self._order], arguments))

    def request(self, request_id: str) -> str | None:
        encoded(request_id, "request_id")
        found = self._server.call(lambda: self._server.client.hget(self._records, request_id))
        return None if found is None else found.decode()

    def note(self, name: str, text: str) -> None:
        field, value = encoded(name, "name"), encoded(text, "text")
        self._server.call(lambda: self._server.client.hset(f"{self._root}notes", field, value))

    def renote(self, name: str, text: str, was: str | None) -> bool:
        told = [encoded(name, "name"), encoded(text, "text"), *([] if was is None else [encoded(was, "text")])]
        return bool(self._server.call(lambda: self._renote([f"{self._root}notes"], told)))

    def noted(self, name: str) -> str | None:
        field = encoded(name, "name")
        found = self._server.call(lambda: self._server.client.hget(f"{self._root}notes", field))
        return None if found is None else found.decode()

    def remove(self, seqs: Sequence[int]) -> int:
        removed = 0
        for first in range(0, len(seqs), _A_SCRIPT):
            part = [self._users, *map(int, seqs[first : first + _A_SCRIPT])]
            removed += self._server.call(lambda part=part: self._remove([self._stream], part))  # type: ignore[misc]
        return removed

    def shrink(self) -> None:
        try:
            self._server.call(self._server.client.bgrewriteaof)
        except StoreUnavailable as error:
            if "already in progress" not in str(error):  # one under way does the same
                raise

    def ping(self) -> None:
        self._server.call(self._server.client.ping)

    def close(self) -> None:
        self._server.close()

    @property
    def _users(self) -> str:
        return f"{self._root}user:"


def _stored(entries: Iterable[Any]) -> list[Stored]:
    """Entries of the stream as events."""
    found = []
    for name, (_, content) in entries:
        *event, received = json.loads(content)
        found.append(Stored(int(name.partition(b"-")[0]), Event(*event), received))
    return found
