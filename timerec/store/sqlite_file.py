"""Making, checking and connecting to the SQLite file of an event store."""

from __future__ import annotations

import os
import sqlite3
import time
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


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are on disk; any one thread at a time may use it."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _make(path: Path, create: bool) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder: give the path of the event store's file")
    if path.exists():
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
