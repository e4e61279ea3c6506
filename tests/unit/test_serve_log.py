"""Events of many callers in one commit, and calls between parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve.exceptions import BackPressureError

from serve_app.calls import Busy, Down, Late, call
from serve_app.clock import Clock, shift_of
from serve_app.log import Writer
from timerec.schema import DataError
from timerec.store import Event, StoreUnavailable
from timerec.store.sqlite import SqliteStore


class Slow(SqliteStore):
    """A store that takes its time, counts its commits, and is away when it is told to be."""

    appends = 0
    away = False

    def append(self, events: Any) -> Any:
        self.appends += 1
        if self.away:
            raise StoreUnavailable("away")
        time.sleep(0.05)
        return super().append(events)

    def log_requests(self, records: Any) -> None:
        if self.away:
            raise StoreUnavailable("away")
        super().log_requests(records)


def event(name: str) -> Event:
    return Event(name, "u", "i", 5)


def test_callers_share_commits_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer = Writer(store)
        calls = [writer.append([event(f"{n}-{k}") for k in range(1 + n % 3)]) for n in range(40)]
        answers = await asyncio.gather(*calls)
        assert store.appends <= 3 and store.count() == sum(1 + n % 3 for n in range(40))
        for n, answer in enumerate(answers):
            assert [store.get(f"{n}-{k}").seq for k in range(1 + n % 3)] == [one.seq for one in answer]

    asyncio.run(run())


def test_one_bad_event_fails_its_own_caller_only(tmp_path: Path) -> None:
    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer = Writer(store)
        found = await asyncio.gather(*(writer.append([event(name)]) for name in ("a", "", "b")), return_exceptions=True)
        assert isinstance(found[1], DataError) and [len(found[0]), len(found[2])] == [1, 1] and store.count() == 2
        store.away = True
        with pytest.raises(StoreUnavailable):
            await writer.append([event("c")])
        store.away = False
        assert not (await writer.append([event("c")]))[0].duplicate

    asyncio.run(run())


def test_a_store_that_is_away_is_asked_once_for_all_who_wait(tmp_path: Path) -> None:
    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer = Writer(store)
        first = asyncio.create_task(writer.append([event("first")]))
        await asyncio.sleep(0.01)  # its commit is under way, so the others wait together
        store.away = True
        found = await asyncio.gather(*(writer.append([event(str(n))]) for n in range(20)), return_exceptions=True)
        assert all(isinstance(one, StoreUnavailable) for one in found) and store.appends == 2
        assert not (await first)[0].duplicate

    asyncio.run(run())


def test_events_wait_for_a_store_that_comes_back_in_time(tmp_path: Path) -> None:
    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer, store.away = Writer(store, patience=5.0), True
        waiting = [asyncio.create_task(writer.append([event(str(n))])) for n in range(5)]
        await asyncio.sleep(0.3)
        late = asyncio.create_task(writer.append([event("late")]))
        waiting[0].cancel()  # this caller has gone; nothing of its is written any more
        await asyncio.sleep(0.3)
        store.away = False
        found = await asyncio.gather(*waiting[1:], late)
        assert [one[0].duplicate for one in found] == [False] * 5 and store.get("0") is None
        assert [store.get(name).seq for name in ("1", "2", "3", "4", "late")] == [one[0].seq for one in found]

    asyncio.run(run())


def test_events_do_not_wait_longer_than_the_patience(tmp_path: Path) -> None:
    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer, store.away = Writer(store, patience=0.3), True
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await writer.append([event("a")])
        assert 0.3 <= time.monotonic() - began < 3 and store.appends > 1
        store.away, store.appends = False, 0
        with pytest.raises(DataError):
            await writer.append([event("")])
        assert store.appends == 1  # what is the events' own fault is told at once

    asyncio.run(run())


def test_commits_of_many_callers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.log.TOGETHER", 10)

    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer = Writer(store)
        sizes = [4, 4, 4, 25, 1]
        calls = (writer.append([event(f"{n}-{k}") for k in range(size)]) for n, size in enumerate(sizes))
        assert [len(one) for one in await asyncio.gather(*calls)] == sizes
        assert store.appends == 4  # 4 + 4, then 4, then the 25 of one caller, then 1

    asyncio.run(run())


def test_a_store_that_is_not_as_it_must_be_is_no_fault_of_the_events(tmp_path: Path) -> None:
    class Forgetful(Slow):
        def append(self, events: Any) -> Any:
            raise DataError("store redis://secret-host: appendonly is no")

        def ping(self) -> None:
            raise DataError("store redis://secret-host: appendonly is no")

    async def run() -> None:
        with pytest.raises(StoreUnavailable):
            await Writer(Forgetful(tmp_path / "events.db")).append([event("a")])

    asyncio.run(run())


def test_events_of_callers_who_have_gone_are_not_stored_and_too_many_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.log.MOST", 4)

    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer, store.away = Writer(store, patience=30.0), True
        gone = asyncio.create_task(writer.append([Event("gone", "u", "i", 1)]))
        stays = asyncio.create_task(writer.append([Event("stays", "u", "i", 2)]))
        await asyncio.sleep(0.3)
        gone.cancel()
        with pytest.raises(StoreUnavailable, match="too many"):
            await writer.append([Event(str(number), "u", "i", 3) for number in range(4)])
        store.away = False
        assert [one.duplicate for one in await stays] == [False]
        assert [one.event.event_id for one in store.since(0)] == ["stays"]

    asyncio.run(run())


def test_answers_wait_for_a_store_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.log.FLUSH", 0.01)
    monkeypatch.setattr("serve_app.log.HELD", 3)
    dropped: list[int] = []

    async def run() -> None:
        store = Slow(tmp_path / "events.db")
        writer, store.away = Writer(store, dropped=dropped.append), True
        for number in range(5):
            writer.keep(str(number), f"text {number}")
        await asyncio.sleep(0.1)
        assert store.request("4") is None and sum(dropped) == 2
        store.away = False
        for _ in range(500):
            await asyncio.sleep(0.01)
            if store.request("4"):
                break
        assert [store.request(str(number)) for number in range(5)] == [None, None, "text 2", "text 3", "text 4"]

    asyncio.run(run())


def making(*steps: Any) -> Callable[[], Any]:
    """Responses that end as told, one after the other."""
    left = list(steps)

    async def respond(step: Any) -> Any:
        if isinstance(step, float):
            await asyncio.sleep(step)
        if isinstance(step, Exception):
            raise step
        return step

    return lambda: respond(left.pop(0))


def test_calls_outlive_one_death_and_stop_waiting() -> None:
    assert asyncio.run(call(making(ActorDiedError(), "fine"), 1.0)) == "fine"
    with pytest.raises(Down):
        asyncio.run(call(making(ActorDiedError(), ActorDiedError(), "never"), 1.0))
    with pytest.raises(Late):
        asyncio.run(call(making(5.0), 0.02))
    with pytest.raises(Busy):
        asyncio.run(call(making(BackPressureError(1, 1)), 1.0))
    with pytest.raises(ValueError, match="wrong"):
        asyncio.run(call(making(ValueError("wrong"), "never"), 1.0))


def test_calls_outlive_whatever_ray_says_of_a_death_and_tell_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for fault in (ActorUnavailableError("away", bytes(16)), ActorDiedError()):
        caplog.clear()
        assert asyncio.run(call(making(fault, "fine"), 1.0)) == "fine"
        assert f"({type(fault).__name__}): asked again" in caplog.text


def test_a_caller_that_is_cancelled_asks_nobody_else() -> None:
    async def run() -> None:
        asked: list[float] = []

        async def respond() -> str:
            asked.append(1.0)
            await asyncio.sleep(5)
            return "late"

        task = asyncio.create_task(call(respond, 10.0))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asked) == 1

    asyncio.run(run())


def test_a_clock_may_start_elsewhere() -> None:
    assert abs(Clock().now() - time.time()) < 1
    assert abs(Clock(shift_of("log", 1000)).now() - 1001) < 1
    assert Clock(shift_of("1970-01-01T01:00", 0)).next_second() in (3601, 3602)
    assert abs(Clock(shift_of("1970-01-01T01:00+01:00", 0)).now()) < 1
    with pytest.raises(DataError, match="setting clock: 'soon' is no time"):
        shift_of("soon", 0)
