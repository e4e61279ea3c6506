"""The file of a SQLite event store: what is refused, and who may read it."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from timerec.schema import DataError
from timerec.store import Accepted, Event, StoreUnavailable, open_store, sqlite_file

EVENT = Event("a", "u", "i", 1)


def filled(path: Path, events: int = 500) -> Path:
    with open_store(path) as store:
        store.append([Event(f"e{k}", f"u{k}", "i", k) for k in range(events)])
    return path


def refused(path: Path, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        open_store(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def use(path: Path) -> None:
    with open_store(path) as store:
        store.since(0)
        store.append([Event("x", "u1", "i", 1)])
        store.history("u1")


def test_paths_and_urls_are_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    filled(tmp_path / "in" / "a store%20?.db", 3)
    for url in (
        tmp_path / "in" / "a store%20?.db",
        "in/a store%20?.db",
        "sqlite:///in/a store%20?.db",
        f"sqlite:///{tmp_path}/in/a store%20?.db",
    ):
        with open_store(url) as store:
            assert store.count() == 3
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["a store%20?.db", "a store%20?.db-lock"]


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    with open_store(tmp_path / "events.db") as store:
        store.append([EVENT])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("events.db", "events.db-wal", "events.db-shm", "events.db-lock"), 0o600)


def test_commits_are_synchronous_and_readers_do_not_wait(tmp_path: Path) -> None:
    with open_store(tmp_path / "events.db") as store:
        store.append([EVENT])
        for connection in (store._writer, sqlite_file.connect(tmp_path / "events.db")):  # type: ignore[attr-defined]
            assert connection.execute("PRAGMA synchronous").fetchone()[0] >= 2
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        with store._writing():  # type: ignore[attr-defined]
            assert len(store.since(0)) == store.count() == 1


def test_what_is_no_event_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("user_id,item_id\n" * 100)
    refused(tmp_path / "text", "is no sound event store")
    refused(tmp_path, "is a folder")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE events (seq INTEGER)")
    other.close()
    before = (tmp_path / "other.db").read_bytes()
    refused(tmp_path / "other.db", "is a SQLite file of something else")
    assert (tmp_path / "other.db").read_bytes() == before
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "events.db", "cannot be opened")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "events.db", 1)
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    refused(path, "event store of version 2, where this timerec reads 1")


@pytest.mark.parametrize("span", [(0, 100), (100, 8_000), (4_096, 60_000)])
def test_a_damaged_store_is_refused_or_told_while_reading(tmp_path: Path, span: tuple[int, int]) -> None:
    path = filled(tmp_path / "events.db")
    content = bytearray(path.read_bytes())
    content[slice(*span)] = b"\xa5" * (span[1] - span[0])
    path.write_bytes(content)
    with pytest.raises(DataError, match="is no sound event store .*restore it from a backup"):
        use(path)


def test_nothing_is_made_where_that_is_not_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no event store: .*timerec store load"):
        open_store(tmp_path / "events.db", create=False)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_moved_or_replaced_takes_no_more_events(tmp_path: Path) -> None:
    path = filled(tmp_path / "events.db", 1)
    with open_store(path) as store:
        path.rename(tmp_path / "moved.db")
        for call in (lambda: store.append([EVENT]), store.ping):
            with pytest.raises(StoreUnavailable, match="was moved or replaced"):
                call()
        path.write_bytes(b"")
        with pytest.raises(StoreUnavailable, match="was moved or replaced"):
            store.append([EVENT])
        path.unlink()
        (tmp_path / "moved.db").rename(path)
        assert store.append([EVENT]) == [Accepted(2, False)]


def test_a_full_disk_is_told_and_nothing_is_half_stored(tmp_path: Path) -> None:
    with open_store(tmp_path / "events.db") as store:
        pages = store._writer.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        store._writer.execute(f"PRAGMA max_page_count = {pages + 2}")  # type: ignore[attr-defined]
        with pytest.raises(StoreUnavailable, match="disk is full"):
            store.append([Event(f"e{k}", "u", "i" * 200, k) for k in range(1_000)])
        assert store.count() == store.last() == 0
        assert store.append([EVENT]) == [Accepted(1, False)]


def test_a_writer_waits_for_another_and_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "events.db", 1)
    with open_store(path) as one, open_store(path) as other:
        free = threading.Event()

        def hold() -> None:
            with one._alone():  # type: ignore[attr-defined]
                held.set()
                free.wait(20)

        held = threading.Event()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(20)
        monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
        with pytest.raises(StoreUnavailable, match="another process has kept the event store locked"):
            other.append([EVENT])
        assert other.last() == 1
        free.set()
        thread.join()
        monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 20.0)
        assert other.append([EVENT]) == [Accepted(2, False)]


def test_space_is_given_back(tmp_path: Path) -> None:
    with open_store(tmp_path / "events.db") as store:
        store.append([Event(f"e{k}", "u", "i" * 200, k) for k in range(5_000)])
        store.remove(range(1, 5_001))
        store.shrink()
        assert (tmp_path / "events.db").stat().st_size < 400_000
        assert os.path.getsize(tmp_path / "events.db-wal") == 0


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://host/x", "http://h", "", " "])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(DataError, match=r"give a file path, sqlite:///PATH or redis://HOST:PORT/DB\?prefix=NAME"):
        open_store(url)
