"""From a URL to an event store."""

from __future__ import annotations

import math
from pathlib import Path

from timerec.schema import DataError
from timerec.store.base import EventStore

SOON = 2.0  # seconds: for who must not wait longer for a store that hangs, since others wait meanwhile
_CURE = "give a file path, sqlite:///PATH or redis://HOST:PORT/DB?prefix=NAME"


def open_store(url: str | Path, create: bool = True, seconds: float = math.inf) -> EventStore:
    """Open the event store at `url`: a path or `sqlite:///path` (`sqlite:////path` from the root), or `redis://host:port/db`.

    Args:
        create: make the file where there is none.
        seconds: a server that does not answer for so long cannot be reached; without, it is tried several times, for longer.

    Raises:
        DataError: no such kind of store, or what is there is no event store of this version.
        StoreUnavailable: it cannot be reached.
    """
    text = str(url)
    scheme, mark, rest = text.partition("://")
    if isinstance(url, Path) or not mark:
        return _file(text, create)
    if scheme == "sqlite" and rest.startswith("/"):
        return _file(rest[1:], create)
    if scheme in ("redis", "rediss"):
        try:
            from timerec.store.redis import RedisStore
        except ModuleNotFoundError:
            raise DataError("store redis://…: needs the package redis: pip install 'timerec[redis]'") from None
        return RedisStore(text, seconds)
    raise DataError(f"store {scheme}://…: there is no such kind of event store: {_CURE}")


def _file(path: str, create: bool) -> EventStore:
    from timerec.store.sqlite import SqliteStore

    if not path.strip():
        raise DataError(f"store: the path is empty: {_CURE}")
    return SqliteStore(Path(path), create)
