"""Writing to the store from an event loop: many callers share one commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from timerec.store.base import EventStore, StoreUnavailable
from timerec.store.events import Accepted, Event

log = logging.getLogger("ray.serve")
FLUSH = 0.5  # seconds between writes of answered requests
TOGETHER = 2_000  # events of one commit, where they come from several callers
PIECE = 500  # answered requests that are written at once
HELD = 5_000  # answered requests that wait for a store that is away; then the oldest go, and are counted
MOST = 50_000  # events that wait; more are refused at once
PAUSE = 0.1  # seconds between tries of a store that is away


class Waiting(NamedTuple):
    """A caller's events, its answer, and the moment of the loop's clock until which a store that is away is tried again."""

    events: Sequence[Event]
    answer: asyncio.Future[list[Accepted]]
    until: float


class Writer:
    """Appends events in groups: whoever comes while a commit is under way shares the next one."""

    def __init__(self, store: EventStore, patience: float = 0.0, dropped: Callable[[int], None] = lambda count: None) -> None:
        """Write to `store`; one that is away is tried again for `patience` seconds, since a repeated event counts once.

        Args:
            dropped: told how many answered requests could not be kept.
        """
        self._store, self._patience, self._dropped = store, patience, dropped
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._waiting: list[Waiting] = []
        self._records: list[tuple[str, str]] = []
        self._task: asyncio.Task[None] | None = None
        self._flusher: asyncio.Task[None] | None = None

    async def append(self, events: Sequence[Event]) -> list[Accepted]:
        """Store events; on disk when it returns. Raises what `EventStore.append` raises.

        StoreUnavailable also where too many events wait for the store.
        """
        if self._waiting and sum(len(one.events) for one in self._waiting) + len(events) > MOST:
            raise StoreUnavailable("too many events wait for the store")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Accepted]] = loop.create_future()
        self._waiting.append(Waiting(events, answer, loop.time() + self._patience))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._commit())
        return await answer

    def keep(self, request_id: str, record: str) -> None:
        """Keep an answered request; written a moment later."""
        self._records.append((request_id, record))
        if len(self._records) > HELD:
            self._dropped(len(self._records) - HELD)
            del self._records[: len(self._records) - HELD]
        if self._flusher is None:
            self._flusher = asyncio.get_running_loop().create_task(self._flush())

    async def close(self) -> None:
        """Write what waits."""
        await self._write_records()

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while group := self._next_group():
            together = [event for one in group for event in one.events]
            try:
                found = await loop.run_in_executor(self._thread, self._store.append, together)
            except Exception as error:
                if len(group) == 1 or isinstance(error, StoreUnavailable):
                    await self._fail(group, await self._blame(error))
                    continue
                for one in group:  # one of them may be at fault: each on its own
                    try:
                        alone = await loop.run_in_executor(self._thread, self._store.append, one.events)
                    except Exception as own:
                        await self._fail([one], await self._blame(own))
                    else:
                        self._tell(one.answer, alone)
                continue
            at = 0
            for one in group:
                self._tell(one.answer, found[at : at + len(one.events)])
                at += len(one.events)

    async def _fail(self, group: list[Waiting], fault: Exception) -> None:
        """Tell callers what is wrong; those who have patience with a store that is away wait in front of all others."""
        now, patient = asyncio.get_running_loop().time(), []
        for one in group:
            if isinstance(fault, StoreUnavailable) and now < one.until:
                patient.append(one)
            else:
                self._tell(one.answer, fault)
        self._waiting = [one for one in patient if not one.answer.done()] + self._waiting
        if patient:
            await asyncio.sleep(PAUSE)

    async def _blame(self, error: Exception) -> Exception:
        """A store that is not as it must be is no fault of the events that were sent to it."""
        if not isinstance(error, StoreUnavailable):
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._store.ping)
            except Exception as amiss:
                log.error("the event store cannot be used: %s", amiss)
                return StoreUnavailable(str(amiss))
        return error

    def _next_group(self) -> list[Waiting]:
        """The callers whose events are committed together: at most so many events, but at least one caller's. None: nobody waits.

        Events of callers who have gone are left out: they were told that they are not stored.
        """
        self._waiting = [one for one in self._waiting if not one.answer.done()]
        if not self._waiting:
            return []
        count = 1
        size = len(self._waiting[0].events)
        while count < len(self._waiting) and size + len(self._waiting[count].events) <= TOGETHER:
            size += len(self._waiting[count].events)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    @staticmethod
    def _tell(answer: asyncio.Future[list[Accepted]], found: list[Accepted] | Exception) -> None:
        if answer.done():  # the caller has gone
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH)
            await self._write_records()

    async def _write_records(self) -> None:
        while self._records:
            piece, self._records = self._records[:PIECE], self._records[PIECE:]
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._store.log_requests, piece)
            except Exception as error:  # whatever it is, it must not end the flushing: the next one tries again
                log.warning("answers could not be kept for `timerec replay`: %s", error)
                self._records = piece + self._records
                return
