"""The event store in one SQLite file: no server, several processes of one machine."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timerec.schema import DataError
from timerec.store import base
from timerec.store.base import EventStore, StoreUnavailable
from timerec.store.events import Accepted, Event, Stored, encoded, storable
from timerec.store.sqlite_file import WriterLock, connect, prepare_file

_LOOKUP = 1_000  # ids asked for in one statement
_COLUMNS = "seq, event_id, user_id, item_id, timestamp, event, value, received"
_INSERT = f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SINCE = f"SELECT {_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_BY_ID = f"SELECT {_COLUMNS} FROM events WHERE event_id = ?"
_HISTORY = f"SELECT {_COLUMNS} FROM events WHERE user_id = ? ORDER BY timestamp DESC, seq DESC LIMIT ?"
_HISTORY_BEFORE = f"SELECT {_COLUMNS} FROM events WHERE user_id = ? AND timestamp < ? ORDER BY timestamp DESC, seq DESC LIMIT ?"
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"  # kept by AUTOINCREMENT, also when all events are removed
_FORGET = "INSERT INTO removed SELECT event_id, seq FROM events WHERE seq = ?"


class SqliteStore(EventStore):
    """Events in a SQLite file in WAL mode: readers never wait for the writer, and a commit is on disk.

    A process that forks must open the store after the fork.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open the file at `path`.

        Args:
            create: make it where there is none, readable by its owner only.

        Raises:
            DataError: it is no event store, or of a newer version, or damaged.
            StoreUnavailable: another process keeps it locked.
        """
        self._path = path.absolute()
        self._closed = False
        with self._faults():
            self._inode = prepare_file(self._path, create)
            self._writer = connect(self._path)
        self._one_process = WriterLock(self._path)
        self._one_thread = threading.Lock()
        self._idle: deque[sqlite3.Connection] = deque()

    def append(self, events: Sequence[Event]) -> list[Accepted]:
        rows, received = storable(events), time.time()
        if not rows:
            return []
        with self._writing() as connection:
            known = _known(connection, list({event.event_id for event in rows}))
            last, fresh, answers = _last(connection), [], []
            for event in rows:
                seq = known.get(event.event_id)
                answers.append(Accepted(seq or last + 1, seq is not None))
                if seq is None:
                    last += 1
                    known[event.event_id] = last
                    fresh.append((last, *event, received))
            connection.executemany(_INSERT, fresh)
        return answers

    def since(self, seq: int, limit: int = 10_000) -> list[Stored]:
        return self._stored(_SINCE, (seq, limit))

    def last(self) -> int:
        with self._reading() as connection:
            return _last(connection)

    def count(self) -> int:
        with self._reading() as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])

    def history(self, user_id: str, before: int | None = None, limit: int = 100) -> list[Stored]:
        encoded(user_id, "user_id")
        if before is None:
            return self._stored(_HISTORY, (user_id, limit))
        return self._stored(_HISTORY_BEFORE, (user_id, before, limit))

    def get(self, event_id: str) -> Stored | None:
        encoded(event_id, "event_id")
        found = self._stored(_BY_ID, (event_id,))
        return found[0] if found else None

    def log_requests(self, records: Sequence[tuple[str, str]]) -> None:
        for request_id, text in records:
            encoded(request_id, "request_id")
            encoded(text, "record")
        with self._writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO requests (request_id, record) VALUES (?, ?)", records)
            connection.execute(
                "DELETE FROM requests WHERE number <= (SELECT max(number) FROM requests) - ?", (base.REQUESTS_KEPT,)
            )

    def request(self, request_id: str) -> str | None:
        encoded(request_id, "request_id")
        with self._reading() as connection:
            found = connection.execute("SELECT record FROM requests WHERE request_id = ?", (request_id,)).fetchone()
        return str(found[0]) if found else None

    def note(self, name: str, text: str) -> None:
        encoded(name, "name")
        encoded(text, "text")
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO notes (name, text) VALUES (?, ?)", (name, text))

    def renote(self, name: str, text: str, was: str | None) -> bool:
        encoded(name, "name")
        encoded(text, "text")
        with self._writing() as connection:
            found = connection.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
            there = found[0] if found else None
            if there not in (was, text):
                return False
            connection.execute("INSERT OR REPLACE INTO notes (name, text) VALUES (?, ?)", (name, text))
        return True

    def noted(self, name: str) -> str | None:
        encoded(name, "name")
        with self._reading() as connection:
            found = connection.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else None

    def remove(self, seqs: Sequence[int]) -> int:
        rows = [(int(seq),) for seq in seqs]
        with self._writing() as connection:
            connection.executemany(_FORGET, rows)
            return connection.executemany("DELETE FROM events WHERE seq = ?", rows).rowcount if rows else 0

    def shrink(self) -> None:
        with self._faults(), self._alone():
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def ping(self) -> None:
        self._check_open()
        self._check_there()
        self.last()

    def close(self) -> None:
        with self._one_thread:
            if not self._closed:
                self._closed = True
                self._writer.close()
                self._one_process.close()
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The writer inside a transaction that no other process can begin meanwhile: seqs rise in order of commit."""
        with self._faults(), self._alone():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        with self._faults():
            self._check_open()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = connect(self._path)
            try:
                yield connection
            finally:
                self._idle.append(connection)
                if self._closed:
                    self.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(f"{self._path}: {error}: see that the disk has space and no program locks the file") from error
        except sqlite3.DatabaseError as error:
            raise DataError(f"{self._path}: is no sound event store ({error}): restore it from a backup") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile, here or in other processes."""
        with self._one_thread:
            self._check_open()
            with self._one_process():
                self._check_there()
                yield

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the event store is closed: open it again")

    def _check_there(self) -> None:
        """SQLite goes on writing into a file that was deleted or replaced, where nobody would find the events again."""
        try:
            there = self._path.stat().st_ino == self._inode
        except OSError:
            there = False
        if not there:
            raise StoreUnavailable(f"{self._path}: the file was moved or replaced while in use: put it back or restart")

    def _stored(self, query: str, values: tuple[Any, ...]) -> list[Stored]:
        with self._reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return [Stored(row[0], Event(*row[1:7]), row[7]) for row in rows]


def _known(connection: sqlite3.Connection, ids: list[str]) -> dict[str, int]:
    """Seqs of those ids that were seen before."""
    found: dict[str, int] = {}
    for first in range(0, len(ids), _LOOKUP):
        part = ids[first : first + _LOOKUP]
        marks = ",".join("?" * len(part))
        for table in ("events", "removed"):
            found.update(connection.execute(f"SELECT event_id, seq FROM {table} WHERE event_id IN ({marks})", part))
    return found


def _last(connection: sqlite3.Connection) -> int:
    row = connection.execute(_LAST).fetchone()
    return int(row[0]) if row else 0
