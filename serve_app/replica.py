"""What encoder, forecaster and fusion have in common: one thread that computes, and a store that they follow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from ray import serve

from timerec.online.base import Base, open_base
from timerec.store.base import EventStore, StoreUnavailable
from timerec.store.events import Stored
from timerec.store.open import open_store

P = ParamSpec("P")
T = TypeVar("T")
PAGE = 10_000  # events read at once
IDLE = 0.25  # seconds after which a replica without requests catches up with the store
batched: Any = serve.batch  # its types know of functions only, not of methods
log = logging.getLogger("ray.serve")


class Follower(Protocol):
    """What takes events in order."""

    def take(self, stored: Sequence[Stored]) -> Any: ...


class Replica:
    """A replica's thread and its place in the store.

    Everything that touches the state runs in the one thread: Serve runs requests on an event loop, which must not wait.
    """

    def __init__(self, bundle: str, data: str | None, folder: str, store: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="timerec")
        self.base: Base = open_base(Path(bundle), Path(folder), Path(data) if data else None)
        self._store: EventStore = open_store(store)
        self._task: asyncio.Task[None] | None = None
        self.behind = False  # the store could not be reached: what came since is not in the state

    async def compute(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the thread."""
        self._keep_up()
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def catch_up(self, state: Follower, seq: Callable[[], int]) -> None:
        """Take every event that the store holds by now."""
        try:
            while stored := self._store.since(seq(), PAGE):
                state.take(stored)
                if len(stored) < PAGE:
                    break
            self.behind = False
        except StoreUnavailable as error:
            if not self.behind:
                log.warning("answers go on without the newest events: %s", error)
            self.behind = True

    def idle(self) -> None:
        """What is done between requests; runs in the thread."""

    def _keep_up(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run_idle())

    async def _run_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE)
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self.idle)
            except Exception:  # the next request says what is wrong; the loop must live
                log.exception("catching up with the store failed")
