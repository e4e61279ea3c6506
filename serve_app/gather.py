"""One call to a part for what several requests ask of it at the same time: the call itself is most of its cost."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from serve_app.calls import Busy, Down, Late, call

TOGETHER = 16  # requests of one call
KINDS = 32  # kinds of requests with which those of which none is asked are forgotten
WINDOW = 0.05  # seconds that a request waits at most for an earlier call to return


class _Waiting(NamedTuple):
    row: tuple[Any, ...]
    answer: asyncio.Future[Any]
    until: float  # moment of the loop's clock


class Gathered:
    """A method of a part that answers rows: it takes a list of each argument and returns a list of as many answers.

    While no call is under way a request goes at once, so one client alone never waits. Otherwise requests gather until they are
    as many as each of `calls` calls would have of all that are asked, until there are TOGETHER, or until WINDOW has passed: how
    many share a call then follows from how busy the part is. Whoever went as soon as there was a call left would go alone, again
    and again, beside a large group that returns seldom.
    """

    def __init__(self, method: Callable[..., Any], calls: int = 1) -> None:
        """Gather for `method`, which starts a call as `handle.method.remote` does.

        Args:
            calls: how many are under way where many ask; may be changed at any time.
        """
        self._method, self.calls = method, calls
        self._waiting: list[_Waiting] = []
        self._under_way: dict[asyncio.Task[None], int] = {}  # calls, and of how many requests each is
        self._alone: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, seconds: float, *row: Any, alone: bool = False) -> Any:
        """The answer to one row.

        Args:
            alone: in a call of its own; for what takes so long that others should not wait with it.

        Raises:
            Late: it takes longer than `seconds`.
            Down: the replica died, and the next one, too.
            Busy: the part has no room.
        """
        loop = asyncio.get_running_loop()
        one = _Waiting(row, loop.create_future(), loop.time() + seconds)
        if alone:
            self._start([one], counted=False)
        else:
            self._waiting.append(one)
            if self._enough():
                self._send()
            else:
                self._send_by(loop.time() + min(WINDOW, seconds / 4))  # who is in a hurry must still be answered
        try:
            async with asyncio.timeout(seconds):
                return await one.answer
        except TimeoutError:
            raise Late from None

    @property
    def idle(self) -> bool:
        """Whether nobody waits, and nothing is under way."""
        return not (self._waiting or self._under_way or self._alone)

    def _enough(self) -> bool:
        """Whether those who wait shall wait no longer for others."""
        if len(self._waiting) >= TOGETHER or not self._under_way:
            return True
        all_asked = len(self._waiting) + sum(self._under_way.values())
        return len(self._under_way) < self.calls and len(self._waiting) * self.calls >= all_asked

    def _send_by(self, moment: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= moment:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(moment, self._send, context=contextvars.Context())

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting = [one for one in self._waiting if not one.answer.done()]  # without those who have gone
        while self._waiting:
            group, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            self._start(group)

    def _start(self, group: list[_Waiting], counted: bool = True) -> None:
        # in nobody's context: Serve would cancel it with the request that happened to start it, and the others with that
        task = asyncio.get_running_loop().create_task(self._call(group), context=contextvars.Context())
        if counted:
            self._under_way[task] = len(group)
            task.add_done_callback(self._ended)
        else:
            self._alone.add(task)
            task.add_done_callback(self._alone.discard)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if self._waiting and self._enough():
            self._send()

    async def _call(self, group: list[_Waiting]) -> None:
        columns = [list(column) for column in zip(*(one.row for one in group), strict=True)]
        left = max(one.until for one in group) - asyncio.get_running_loop().time()
        try:
            answers = await call(lambda: self._method(*columns), left)
        except asyncio.CancelledError:  # when the gateway ends: nobody may wait for ever
            _fail(group, Down())
        except Exception as error:
            _fail(group, error)
        else:
            for one, answer in zip(group, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)


K = TypeVar("K", bound=Hashable)


class GatheredByKind(Generic[K]):
    """Requests of several kinds: only those of one kind share calls."""

    def __init__(self, make: Callable[[K], Callable[..., Any]], calls: int) -> None:
        """Args: make: the method of a kind, as `Gathered` takes it; calls: of each kind, as there."""
        self._make, self._calls = make, calls
        self._kinds: dict[K, Gathered] = {}

    @property
    def calls(self) -> int:
        """How many calls of a kind are under way where many ask; may be set at any time."""
        return self._calls

    @calls.setter
    def calls(self, calls: int) -> None:
        self._calls = calls
        for gathered in self._kinds.values():
            gathered.calls = calls

    async def ask(self, kind: K, seconds: float, *row: Any, alone: bool = False) -> Any:
        """The answer to one row, as `Gathered.ask` gives it."""
        if kind not in self._kinds:
            if len(self._kinds) >= KINDS:
                self._kinds = {name: gathered for name, gathered in self._kinds.items() if not gathered.idle}
            self._kinds[kind] = Gathered(self._make(kind), self._calls)
        return await self._kinds[kind].ask(seconds, *row, alone=alone)


def _fail(group: list[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.answer.done():  # done: whoever asked has gone, or waits no longer
            # each its own: a raised exception collects the frames of whoever it passes
            one.answer.set_exception(type(error)() if isinstance(error, Late | Down | Busy) else error)
