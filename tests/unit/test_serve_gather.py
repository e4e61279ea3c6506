"""Requests that share a call to a part, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from serve_app.calls import Busy, Down, Late
from serve_app.gather import KINDS, TOGETHER, Gathered, GatheredByKind


class Part:
    """Answers after a while with the sum of each row, and remembers its calls."""

    def __init__(self, seconds: float = 0.02, faults: tuple[BaseException, ...] = ()) -> None:
        self.calls: list[list[int]] = []
        self._seconds, self._faults = seconds, list(faults)

    async def add(self, left: list[int], right: list[int]) -> list[int]:
        self.calls.append(left)
        await asyncio.sleep(self._seconds)
        if self._faults:
            raise self._faults.pop(0)
        return [one + other for one, other in zip(left, right, strict=True)]


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def wait() -> Any:
        return await work()

    return asyncio.run(wait())


def test_one_alone_goes_at_once_and_the_others_together() -> None:
    part = Part()

    async def work() -> list[int]:
        gathered = Gathered(part.add)
        return await asyncio.gather(*(gathered.ask(1.0, n, 100) for n in range(2 * TOGETHER)))

    assert run(work) == [100 + n for n in range(2 * TOGETHER)]
    assert part.calls[:2] == [[0], list(range(1, TOGETHER + 1))]
    assert [n for call in part.calls for n in call] == list(range(2 * TOGETHER)) and len(part.calls) == 3


def test_few_do_not_wait_for_a_call_that_takes_long() -> None:
    part = Part(seconds=0.5)

    async def work() -> float:
        gathered = Gathered(part.add)
        first = asyncio.create_task(gathered.ask(5.0, 0, 0))
        await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
        second = asyncio.create_task(gathered.ask(5.0, 1, 0))
        while len(part.calls) < 2:
            await asyncio.sleep(0.001)
        spent = asyncio.get_running_loop().time() - began
        await asyncio.gather(first, second)
        return spent

    assert run(work) < 0.3


def test_clients_that_come_one_by_one_share_calls() -> None:
    """How many of them follows from how long a call takes."""
    part = Part(seconds=0.04)

    async def work() -> None:
        gathered = Gathered(part.add, 2)
        asked = []
        for n in range(12):
            asked.append(asyncio.create_task(gathered.ask(5.0, n, 0)))
            await asyncio.sleep(0.002)
        await asyncio.gather(*asked)

    run(work)
    assert part.calls[:2] == [[0], [1]] and len(part.calls) <= 5
    assert [n for call in part.calls for n in call] == list(range(12))


@pytest.mark.parametrize(("clients", "calls"), [(16, 2), (9, 3)])
def test_clients_that_ask_on_and_on_have_equal_shares_in_the_calls(clients: int, calls: int) -> None:
    """Otherwise one large group and calls of a single request take turns."""
    sizes: list[int] = []

    async def work() -> None:
        one_at_a_time = asyncio.Lock()

        async def method(rows: list[int]) -> list[int]:
            sizes.append(len(rows))
            async with one_at_a_time:
                await asyncio.sleep(0.002 + 0.001 * len(rows))
            return rows

        gathered = Gathered(method, calls)

        async def client(number: int) -> None:
            for _ in range(20):
                await gathered.ask(5.0, number)

        await asyncio.gather(*map(client, range(clients)))

    run(work)
    assert min(sizes[2 * calls : -calls]) >= clients // calls


def test_requests_of_different_kinds_share_no_call_and_kinds_are_forgotten() -> None:
    calls: list[tuple[int, list[int]]] = []

    def make(kind: int) -> Callable[[list[int]], Awaitable[list[int]]]:
        async def method(rows: list[int]) -> list[int]:
            calls.append((kind, rows))
            await asyncio.sleep(0.01)
            return [kind + row for row in rows]

        return method

    async def work() -> None:
        gathered = GatheredByKind(make, 1)
        asked = [gathered.ask(100 * (n % 2), 1.0, n) for n in range(8)]
        assert await asyncio.gather(*asked) == [100 * (n % 2) + n for n in range(8)]
        assert calls == [(0, [0]), (100, [1]), (0, [2, 4, 6]), (100, [3, 5, 7])]
        gathered.calls = 5
        await asyncio.gather(*(gathered.ask(kind, 1.0, 0) for kind in range(1, 3 * KINDS)))  # all at work: none may be lost
        await gathered.ask(-1, 1.0, 0)
        assert len(gathered._kinds) == 1 and gathered._kinds[-1].calls == 5

    run(work)


def test_who_is_in_a_hurry_or_gone_does_not_hold_up_a_call() -> None:
    part = Part(seconds=0.5)

    async def work() -> float:
        gathered = Gathered(part.add)
        first = asyncio.create_task(gathered.ask(5.0, 0, 0))
        await asyncio.sleep(0.01)
        gone = asyncio.create_task(gathered.ask(5.0, 1, 0))
        await asyncio.sleep(0.001)
        gone.cancel()
        began = asyncio.get_running_loop().time()
        hasty = asyncio.create_task(gathered.ask(0.04, 2, 0))
        while len(part.calls) < 2:
            await asyncio.sleep(0.001)
        spent = asyncio.get_running_loop().time() - began
        await asyncio.gather(first, hasty, return_exceptions=True)
        return spent

    assert run(work) < 0.035 and part.calls == [[0], [2]]


def test_what_takes_long_goes_alone() -> None:
    part = Part()

    async def work() -> Any:
        gathered = Gathered(part.add)
        return await asyncio.gather(*(gathered.ask(1.0, n, 0, alone=n == 2) for n in range(4)))

    assert run(work) == [0, 1, 2, 3]
    assert [2] in part.calls and [1, 3] in part.calls


def test_who_waits_no_longer_takes_nothing_from_the_others() -> None:
    part = Part(seconds=0.1)

    async def work() -> list[Any]:
        gathered = Gathered(part.add)
        asked = [gathered.ask(1.0, 0, 0), *(gathered.ask(0.02 if n == 1 else 1.0, n, 0) for n in (1, 2, 3))]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, late, *others = run(work)
    assert first == 0 and isinstance(late, Late) and others == [2, 3]


@pytest.mark.parametrize("fault", [RayActorError(), asyncio.CancelledError()])
def test_a_dead_replica_is_asked_once_more_for_all_of_a_call(fault: BaseException) -> None:
    part = Part(faults=(fault,))

    async def work() -> list[int]:
        gathered = Gathered(part.add)
        return await asyncio.gather(*(gathered.ask(1.0, n, 0) for n in range(3)))

    assert run(work) == [0, 1, 2] and sorted(map(tuple, part.calls)) == [(0,), (0,), (1, 2)]


def test_whoever_starts_a_call_does_not_take_it_along() -> None:
    """Serve cancels what belongs to a request that is broken off: it knows that by the context."""
    mark: ContextVar[str] = ContextVar("mark", default="nobody's")
    seen: list[str] = []

    async def method(rows: list[int]) -> list[int]:
        seen.append(mark.get())
        await asyncio.sleep(0.01)
        return rows

    async def work() -> None:
        gathered = Gathered(method)

        async def one(number: int) -> int:
            mark.set(f"request {number}")
            return await gathered.ask(1.0, number)

        await asyncio.gather(*(asyncio.create_task(one(number)) for number in range(TOGETHER + 5)))

    run(work)
    assert len(seen) == 3 and set(seen) == {"nobody's"}


def test_a_call_that_is_cancelled_leaves_nobody_waiting() -> None:
    async def method(rows: list[int]) -> list[int]:
        raise asyncio.CancelledError

    async def work() -> list[Any]:
        gathered = Gathered(method)
        return await asyncio.gather(*(gathered.ask(5.0, n) for n in range(3)), return_exceptions=True)

    assert [type(error) for error in run(work)] == [Down] * 3


@pytest.mark.parametrize(
    ("fault", "told"),
    [(RayActorError(), Down), (BackPressureError(num_queued_requests=9, max_queued_requests=9), Busy), (KeyError("x"), KeyError)],
)
def test_everybody_of_a_call_learns_what_went_wrong(fault: Exception, told: type[Exception]) -> None:
    part = Part(faults=(fault,) * 4)

    async def work() -> list[Any]:
        gathered = Gathered(part.add)
        found = await asyncio.gather(*(gathered.ask(1.0, n, 0) for n in range(3)), return_exceptions=True)
        part._faults.clear()
        return [*found, await gathered.ask(1.0, 7, 1)]

    *failed, fine = run(work)
    assert [type(error) for error in failed] == [told] * 3 and fine == 8
