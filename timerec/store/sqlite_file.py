"""Making, checking and connecting to the SQLite file of an event store."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timerec.schema import DataError
from timerec.store.base import StoreUnavailable

APPLICATION = 0x74526563  # SQLite's application_id: whose file it is
VERSION = 1
BUSY_SECONDS = 30.0  # how long a writer waits for another process
_SCHEMA = (
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, item_id TEXT NOT NULL,
        timestamp INTEGER NOT NULL, event TEXT NOT NULL, value REAL NOT NULL, received REAL NOT NULL)""",
    "CREATE INDEX events_of_user ON events (user_id, timestamp)",
    "CREATE TABLE removed (event_id TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE requests (number INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, record TEXT NOT NULL)",
    "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)


def prepare_file(path: Path, create: bool) -> int:
    """See that `path` is an event store, made anew where there is none and `create` says so; returns its inode.

    Raises:
        DataError: it is something else, of a newer version, damaged or not accessible.
    """
    try:
        _make(path, create)
        inode = path.stat().st_ino
    except OSError as error:
        raise DataError(f"{path}: the event store cannot be opened ({error.strerror}): give another path") from None
    connection = connect(path)
    try:
        if not _is_store(path, connection):
            _initialise(path, connection)
    finally:
        connection.close()
    return inode


class WriterLock:
    """Lets one process write at a time, by a lock on an empty file beside the store.

    SQLite alone would order the writers too, but waits in ever longer pauses, and releases before 3.51.3 can lose commits
    where one process commits while another begins to move the log into the file (sqlite.org/wal.html#walresetbug).
    """

    def __init__(self, path: Path) -> None:
        """The lock of the event store at `path`."""
        self._path = path
        self._file = os.open(path.with_name(path.name + "-lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            StoreUnavailable: another process holds it for longer than `BUSY_SECONDS`.
        """
        give_up = time.monotonic() + BUSY_SECONDS
        while not self._taken():
            if time.monotonic() > give_up:
                raise StoreUnavailable(f"{self._path}: another process has kept the event store locked for {BUSY_SECONDS:.0f} s")
            time.sleep(0.0005)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock's file."""
        os.close(self._file)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are on disk; any one thread at a time may use it."""
    address = f"{path.as_uri()}?mode=rw"  # rw: a file that has gone is not made anew
    connection = sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _make(path: Path, create: bool) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder: give the path of the event store's file")
    if path.exists():
        if not os.access(path, os.R_OK | os.W_OK):
            raise DataError(f"{path}: may not be read and written: give this user the right to both")
        return
    if not create:
        raise DataError(f"{path}: there is no event store: give the path of one, or fill one with `timerec store load`")
    path.parent.mkdir(parents=True, exist_ok=True)
    # before SQLite does, so that nobody else can read it; its side files take over these permissions
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _is_store(path: Path, connection: sqlite3.Connection) -> bool:
    """Whether the file is an event store of this version; False where it is empty."""
    owner, version = _number(connection, "application_id"), _number(connection, "user_version")
    if owner == 0 and version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    if owner != APPLICATION:
        raise DataError(f"{path}: is a SQLite file of something else: give another path for the event store")
    if version != VERSION:
        raise DataError(f"{path}: event store of version {version}, where this timerec reads {VERSION}: use the timerec it is of")
    return True


def _initialise(path: Path, connection: sqlite3.Connection) -> None:
    _write_ahead(path, connection)
    connection.execute("BEGIN IMMEDIATE")
    if not _is_store(path, connection):  # another process may have been quicker
        for statement in _SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # the new file's name is on disk too
    os.close(folder)


def _write_ahead(path: Path, connection: sqlite3.Connection) -> None:
    """Switch to WAL, for which SQLite does not wait for others by itself."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise StoreUnavailable(f"{path}: {error}") from error
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise DataError(f"{path}: the file system cannot hold a write-ahead log: put the event store on a local disk")
        return


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
