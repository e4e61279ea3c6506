"""A Redis event store and its server: settings that would lose events, restarts, passwords, URLs."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.store_cases import RedisServer
from timerec.schema import DataError
from timerec.store import Accepted, Event, StoreUnavailable, open_store

EVENT = Event("a", "u", "i", 1)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill and change."""
    server = RedisServer(tmp_path / "redis", requirepass="se:cret")
    server.client = redis.Redis(port=server.port, password="se:cret")
    yield server
    server.kill()


def url(server: RedisServer) -> str:
    return f"redis://:se%3Acret@127.0.0.1:{server.port}/0?prefix=shop"


def test_who_has_little_time_is_told_soon_that_a_server_hangs(own: RedisServer) -> None:
    store = open_store(url(own), seconds=0.5)
    store.append([EVENT])
    own.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            store.since(0)
        assert time.monotonic() - began < 5  # without, four tries of ten seconds
    finally:
        own.process.send_signal(signal.SIGCONT)
    assert [one.event for one in store.since(0)] == [EVENT]


def test_a_killed_and_restarted_server_has_all_acknowledged_events(own: RedisServer) -> None:
    store, acknowledged, enough = open_store(url(own)), {}, threading.Event()

    def append() -> None:
        k = 0
        while True:
            sent = [Event(f"e{k}-{j}", "u", "i", k) for j in range(3)]
            try:
                acknowledged.update({event.event_id: answer.seq for event, answer in zip(sent, store.append(sent), strict=True)})
            except StoreUnavailable:
                return
            k += 1
            if k == 50:
                enough.set()

    thread = threading.Thread(target=append)
    thread.start()
    assert enough.wait(20)
    own.kill()
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(StoreUnavailable, match=f"redis://127.0.0.1:{own.port}/0: cannot be reached") as caught:
        store.ping()
    assert "cret" not in str(caught.value)
    own.start()
    store.ping()  # the same store goes on
    found = {one.event.event_id: one.seq for one in store.since(0)}
    assert len(acknowledged) >= 150 and acknowledged.items() <= found.items() and len(found) % 3 == 0
    assert store.append([EVENT]) == [Accepted(len(found) + 1, False)]
    store.close()


def test_a_short_absence_is_not_noticed(own: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("timerec.store.redis_server.PAUSES", (0.1,) * 200)  # as long as the start takes on a busy machine
    with open_store(url(own)) as store:
        store.append([EVENT])
        own.kill()
        back = threading.Timer(0.2, own.start)
        back.start()
        assert store.append([EVENT._replace(event_id="b")]) == [Accepted(2, False)]
        back.join()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"appendonly": "no"}, "appendonly is no, .*: set `appendonly yes` in redis.conf"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec, .*: set `appendfsync always` in redis.conf"),
        ({"no-appendfsync-on-rewrite": "yes"}, "set `no-appendfsync-on-rewrite no` in redis.conf"),
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "events could be evicted: set `maxmemory-policy noeviction`"),
    ],
)
def test_settings_that_could_lose_events_are_refused(own: RedisServer, changed: dict[str, str], sentence: str) -> None:
    for name, value in changed.items():
        own.client.config_set(name, value)
    with pytest.raises(DataError, match=sentence):
        open_store(url(own))


def test_a_server_that_comes_back_with_other_settings_is_refused(own: RedisServer) -> None:
    with open_store(url(own)) as store:
        store.append([EVENT])
        own.kill()
        own.settings["appendfsync"] = "everysec"
        own.start()
        with pytest.raises(DataError, match="appendfsync is everysec"):
            store.append([EVENT._replace(event_id="b")])


def test_a_full_server_takes_all_of_an_append_or_nothing(own: RedisServer) -> None:
    with open_store(url(own)) as store:
        sentences: list[str] = []
        for room in range(0, 4_000_000, 400_000):  # the limit is met before, within and after the script
            own.client.config_set("maxmemory", own.client.info("memory")["used_memory"] + room)
            try:
                store.append([Event(f"{room}-{k}", "u", "i" * 500, k) for k in range(1_000)])
            except StoreUnavailable as error:
                sentences.append(str(error))
            assert store.count() % 1_000 == 0
        assert 0 < len(sentences) < 10
        assert all("the server is full: raise maxmemory or run `timerec store compact`" in one for one in sentences)
        own.client.config_set("maxmemory", "0")
        assert store.append([EVENT]) == [Accepted((10 - len(sentences)) * 1_000 + 1, False)]


def test_passwords_are_needed_and_never_shown(own: RedisServer) -> None:
    for wrong in (f"redis://127.0.0.1:{own.port}/0", f"redis://:hush@127.0.0.1:{own.port}/0"):
        with pytest.raises(DataError, match="give user and password in the URL") as caught:
            open_store(wrong)
        assert "hush" not in str(caught.value)


def test_keys_of_something_else_are_refused(own: RedisServer) -> None:
    own.client.set("shop:version", "7")
    with pytest.raises(DataError, match="event store of version b'7', where this timerec reads 1"):
        open_store(url(own))
    own.client.set("shop:version", "1")
    own.client.set("shop:events", "no stream")
    with open_store(url(own)) as store, pytest.raises(DataError, match="choose another prefix"):
        store.append([EVENT])


def test_prefixes_keep_stores_apart(redis_server: RedisServer) -> None:
    with open_store(f"{redis_server.url}?prefix=one") as one, open_store(f"{redis_server.url}?prefix=two") as two:
        one.append([EVENT])
        assert one.count() == 1 and two.count() == 0 and two.append([EVENT]) == [Accepted(1, False)]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("redis://127.0.0.1:port/0", "host or port cannot be read"),
        ("redis://127.0.0.1:1/shop", "the database is a number"),
        ("redis://127.0.0.1:1/0?prefix=a b", "prefix 'a b' is not"),
        ("redis://127.0.0.1:1/0?prefix=", "prefix '' is not"),
        ("redis://127.0.0.1:1/0?colour=red", "option 'colour' is unknown: give prefix"),
    ],
)
def test_urls_that_cannot_be_read(address: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        open_store(address)


def test_no_server_at_all() -> None:
    with pytest.raises(StoreUnavailable, match="redis://127.0.0.1:1/0: cannot be reached"):
        open_store("redis://127.0.0.1:1/0")
