"""What every event store promises, of SQLite and of Redis alike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store_cases import PlainStore, RedisServer
from timerec.schema import DataError
from timerec.store import Accepted, Event, EventStore, StoreUnavailable, base, open_store

WRITER = Path(__file__).with_name("store_writer.py")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
MakeUrl = Callable[[], str]


@pytest.fixture(params=["sqlite", "redis"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> MakeUrl:
    """URLs of stores that are not there yet."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path / uuid.uuid4().hex}.db"
    server: RedisServer = request.getfixturevalue("redis_server")
    return lambda: f"{server.url}?prefix={uuid.uuid4().hex}"


@pytest.fixture
def url(fresh: MakeUrl) -> str:
    return fresh()


@pytest.fixture
def store(url: str) -> Iterator[EventStore]:
    with open_store(url) as opened:
        yield opened


def event(event_id: str, user: str = "u", item: str = "i", timestamp: int = 1) -> Event:
    return Event(event_id, user, item, timestamp)


def writer(url: str, name: str, appends: int, size: int) -> subprocess.Popen[str]:
    words = [sys.executable, str(WRITER), url, name, str(appends), str(size)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def ids(stored: list) -> list[str]:
    return [one.event.event_id for one in stored]


def test_an_empty_store(store: EventStore) -> None:
    assert (store.last(), store.count(), store.since(0), store.history("u"), store.get("a")) == (0, 0, [], [], None)
    assert store.append([]) == [] and store.remove([]) == 0 and store.remove([1]) == 0 and store.request("r") is None
    store.log_requests([])
    store.shrink()
    store.ping()


def test_what_is_appended_is_found(store: EventStore) -> None:
    first, second = Event("a", "u", "i", 7, "buy", 2.5), Event("b", "w", "j", -3)
    assert store.append([first, second]) == [Accepted(1, False), Accepted(2, False)]
    found = store.since(0)
    assert [(one.seq, one.event) for one in found] == [(1, first), (2, second)]
    assert all(abs(one.received - time.time()) < 60 for one in found)
    assert store.get("b") == found[1] and store.since(1) == found[1:] and store.since(0, 1) == found[:1] and store.since(2) == []
    assert (store.last(), store.count()) == (2, 2)


def test_a_known_id_is_not_stored_again(store: EventStore, url: str) -> None:
    store.append([event("a", item="first")])
    assert store.append([event("b"), event("a", item="other"), event("b", item="other")]) == [
        Accepted(2, False), Accepted(1, True), Accepted(2, True)
    ]  # fmt: skip
    with open_store(url) as again:
        assert again.append([event("a", item="late"), event("c")]) == [Accepted(1, True), Accepted(3, False)]
    assert [(one.event.event_id, one.event.item_id) for one in store.since(0)] == [("a", "first"), ("b", "i"), ("c", "i")]


def test_history_is_newest_first_and_strictly_before(store: EventStore) -> None:
    store.append(
        [event("a", timestamp=5), event("b", timestamp=9), event("c", "w"), event("d", timestamp=5), event("e", timestamp=2)]
    )
    assert ids(store.history("u")) == ["b", "d", "a", "e"]
    assert ids(store.history("u", before=9)) == ["d", "a", "e"]
    assert ids(store.history("u", before=6, limit=2)) == ["d", "a"]
    assert ids(store.history("u", before=2)) == []


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (event(""), "event_id is empty"),
        (event("x", user=""), "user_id is empty"),
        (event("x", item="\ud800"), "item_id .* is no valid Unicode"),
        (event("x", item=7), "item_id 7 is not text"),  # type: ignore[arg-type]
        (event("x", timestamp=2**53 + 1), "is not whole unix seconds"),
        (event("x", timestamp=1.5), "is not whole unix seconds"),  # type: ignore[arg-type]
        (event("x", timestamp=None), "timestamp None is not a finite number"),  # type: ignore[arg-type]
        (Event("x", "u", "i", 1, value=float("nan")), "value nan is not a finite number"),
        (Event("x", "u", "i", 1, event=None), "event None is not text"),  # type: ignore[arg-type]
    ],
)
def test_all_or_nothing(store: EventStore, bad: Event, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        store.append([event("a"), bad, event("b")])
    assert store.count() == 0 and store.append([event("a")]) == [Accepted(1, False)]


def test_removed_events_stay_known_and_seqs_are_not_used_again(store: EventStore, url: str) -> None:
    store.append([event(name) for name in "abc"])
    assert store.remove([1, 3, 8]) == 2 and ids(store.since(0)) == ["b"] and ids(store.history("u")) == ["b"]
    assert store.remove([1, 2]) == 1 and store.count() == 0 and store.last() == 3 and store.get("a") is None
    store.shrink()
    with open_store(url) as again:
        assert again.last() == 3 and again.since(0) == []
        assert again.append([event("c"), event("d")]) == [Accepted(3, True), Accepted(4, False)]
    assert ids(store.since(3)) == ["d"] and store.history("u") == store.since(0)


def test_requests_are_kept_up_to_a_number(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "REQUESTS_KEPT", 5)
    store.log_requests([("r0", '{"k": 1}'), ("r0", "later"), ("é\0", "\"'")])
    assert store.request("r0") == '{"k": 1}' and store.request("é\0") == "\"'"
    for k in range(1, 8):
        store.log_requests([(f"r{k}", str(k)), ("r7", "7")])
    assert [store.request(f"r{k}") for k in range(8)] == [None, None, None, "3", "4", "5", "6", "7"]


HOSTILE = [
    "é漢字🙂‮", "'; DROP TABLE events; --", '"\\"', "a\0b", "\0", " ", "\r\n*3\r\n$3\r\nDEL", "%s {0} $1 ?", "x" * 10_000,
    "NULL", "0", "-1", "1e5", "*", "timerec:events", "‎a", "a" * 5 + "́",
]  # fmt: skip


def test_a_note_stands_until_the_next_one(store: EventStore, url: str) -> None:
    assert store.noted("models") is None
    store.note("models", "one")
    store.note("models", "two ❄'")
    store.note("other", "")
    with open_store(url) as again:
        assert (again.noted("models"), again.noted("other"), again.noted("none")) == ("two ❄'", "", None)


def test_a_note_is_renewed_only_by_who_knows_it(store: EventStore) -> None:
    assert not store.renote("models", "one", "zero") and store.noted("models") is None
    assert store.renote("models", "one", None) and not store.renote("models", "two", None)
    assert not store.renote("models", "two", "on") and store.noted("models") == "one"
    assert store.renote("models", "one", "zero") and store.noted("models") == "one"  # as where a call was cut off
    assert store.renote("models", "", "one") and store.renote("models", "three ❄", "") and store.noted("models") == "three ❄"


def test_hostile_texts_come_back_as_they_were(store: EventStore) -> None:
    sent = [Event(f"{k}{text}", text, text + "i", k, text, -1.5e300) for k, text in enumerate(HOSTILE)]
    store.append(sent)
    assert [one.event for one in store.since(0)] == sent
    assert all(ids(store.history(one.user_id)) == [one.event_id] for one in sent)
    assert all(store.get(one.event_id) is not None for one in sent)
    assert store.append(sent) == [Accepted(k + 1, True) for k in range(len(sent))]
    store.log_requests([(text, text) for text in HOSTILE])
    assert [store.request(text) for text in HOSTILE] == HOSTILE
    for ask in (store.get, store.history, store.request):
        with pytest.raises(DataError, match="no valid Unicode"):
            ask("\udcff")


def test_a_reader_never_finds_an_event_behind_it(store: EventStore, url: str) -> None:
    writers = [writer(url, f"w{k}", 25, 6) for k in range(3)]
    seen, seq = [], 0
    while any(one.poll() is None for one in writers) or store.last() > seq:
        more = store.since(seq, 50)
        assert all(one.seq > seq for one in more) and [one.seq for one in more] == sorted(one.seq for one in more)
        seen += more
        seq = more[-1].seq if more else seq
    printed = [line.split() for one in writers for line in one.communicate()[0].splitlines()]
    assert all(one.returncode == 0 for one in writers)
    assert len(seen) == 3 * 25 * 6 + 25 and seen == store.since(0) and seq == len(seen)
    by_id = {one.event.event_id: one.seq for one in seen}
    assert len(by_id) == len(seen)
    assert len(printed) == 3 * 25 * 7 and all(by_id[event_id] == int(found) for event_id, found in printed)


def test_threads_share_a_store(store: EventStore) -> None:
    def append(name: str) -> None:
        for k in range(10):
            assert not store.append([event(f"{name}{k}", name)])[0].duplicate
            assert ids(store.history(name))[0] == f"{name}{k}"  # what a user did is there at once

    threads = [threading.Thread(target=append, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 40 and [one.seq for one in store.since(0)] == list(range(1, 41))


def test_a_killed_writer_loses_nothing_that_was_acknowledged(url: str) -> None:
    process = writer(url, "w", 100_000, 20)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(400)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    with open_store(url) as store:
        found = {one.event.event_id: one.seq for one in store.since(0, 10**6)}
        assert all(found[event_id] == int(seq) for event_id, seq in acknowledged)
        assert len(found) % 21 == 0 and list(found.values()) == list(range(1, len(found) + 1))
        assert store.append([event("next")]) == [Accepted(len(found) + 1, False)]


def test_a_closed_store_says_so(store: EventStore) -> None:
    store.append([event("a")])
    store.since(0)
    store.close()
    store.close()
    for call in (lambda: store.append([event("b")]), lambda: store.since(0), store.ping):
        with pytest.raises(StoreUnavailable, match="is closed"):
            call()


EVENTS = st.builds(
    Event, st.sampled_from("abcdefgh"), st.sampled_from(["u", "v", "ü\0"]), st.sampled_from("ij"),
    st.integers(-2, 4), st.sampled_from(["", "buy"]), st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(EVENTS, max_size=5)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 9), max_size=4, unique=True)),
        st.tuples(st.just("requests"), st.lists(st.tuples(st.sampled_from("rs"), st.text(max_size=3)), max_size=2)),
        st.tuples(st.just("reopen"), st.booleans()),
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(0, 9), st.integers(1, 6), st.none() | st.integers(-2, 5))
def test_it_equals_a_plain_list(fresh: MakeUrl, steps: list, seq: int, limit: int, before: int | None) -> None:
    url, plain = fresh(), PlainStore()
    store = open_store(url)
    for name, what in steps:
        if name == "append":
            assert store.append(what) == plain.append(what)
        elif name == "remove":
            assert store.remove(what) == plain.remove(what)
        elif name == "requests":
            store.log_requests(what)
            plain.log_requests(what)
        else:
            if what:
                store.shrink()
            store.close()
            store = open_store(url)
        assert (store.last(), store.count()) == (plain.last(), plain.count())
        assert [one[:2] for one in store.since(seq, limit)] == [one[:2] for one in plain.since(seq, limit)]
    assert [one[:2] for one in store.since(0)] == [one[:2] for one in plain.since(0)]
    for user in ("u", "v", "ü\0", "w"):
        found = [one[:2] for one in store.history(user, before, limit)]
        assert found == [one[:2] for one in plain.history(user, before, limit)]
    for event_id in "abcdefgh":
        mine, other = store.get(event_id), plain.get(event_id)
        assert (mine and mine[:2]) == (other and other[:2])
    assert [store.request(name) for name in "rs"] == [plain.request(name) for name in "rs"]
    store.close()


def test_the_import_is_cheap() -> None:
    ask = (
        "import sys, timerec.store; print([name for name in ('ray', 'torch', 'numpy', 'pandas', 'redis') if name in sys.modules])"
    )
    words = [sys.executable, "-c", ask]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.strip() == "[]"
