"""What encoder, forecaster and fusion have in common: models side by side, one thread that computes, a store that is followed."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

import pyarrow as pa

from serve_app.models import Failed, Missing, Model, Models, read_models
from timerec.schema import DataError
from timerec.store.base import EventStore, StoreUnavailable
from timerec.store.events import Stored
from timerec.store.open import SOON, open_store

if TYPE_CHECKING:
    from timerec.online.base import Base


class Part(Protocol):
    """One model's share in what a replica computes."""

    @property
    def seq(self) -> int:
        """Place in the store up to which it has read."""

    def take(self, stored: Sequence[Stored]) -> Any:
        """Take the next events."""


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=Part)
PAGE = 10_000  # events read at once
IDLE = 0.25  # seconds after which a replica without requests catches up with the store
LOOK = 4  # in so many of these turns it also looks which models it shall hold
RETRIED = 30.0  # seconds until a model that could not be loaded is tried again
log = logging.getLogger("ray.serve")


class Replica(ABC, Generic[T]):
    """A replica's models, its thread and its place in the store.

    Everything that reads or changes what grows runs in the one thread: Serve runs requests on an event loop, which must not wait.
    Models are loaded in another one, so that answers go on meanwhile.
    """

    def __init__(self, configured: dict[str, Any], folder: str, store: str) -> None:
        """Load the active model; the configured one where the store names none, or one that cannot be loaded."""
        import torch

        torch.set_num_threads(1)
        self._folder = Path(folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="timerec")
        self._store: EventStore = open_store(store, seconds=SOON)
        self._configured = Model(**configured)
        self._parts: dict[str, T] = {}
        self._failed: dict[str, str] = {}  # what is wrong with models that could not be loaded
        self._failed_at: dict[str, float] = {}  # seconds of the monotonic clock
        self._loading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._holding: asyncio.Task[None] | None = None
        self.behind = False  # the store could not be reached: what came since is not in the answers
        for model in (read_models(self._store, self._configured).active, self._configured):
            if not self._parts:
                self._load(model)
        if not self._parts:
            raise DataError(self._failed[self._configured.digest])

    @abstractmethod
    def make(self, base: Base) -> T:
        """The part of one model, warm: kernels are compiled or loaded before the first request."""

    async def load(self, model: dict[str, Any]) -> str | None:
        """Hold a model beside the others; what is wrong with it, or None where it is there."""
        self._keep_up()
        wanted = Model(**model)
        async with self._loading:
            self._failed.pop(wanted.digest, None)
            if wanted.digest not in self._parts:
                await asyncio.to_thread(self._load, wanted)
        return self._failed.get(wanted.digest)

    async def status(self) -> dict[str, Any]:
        """How far each model has read."""
        self._keep_up()
        return {"behind": self.behind, "models": {name: part.seq for name, part in list(self._parts.items())}}

    def start(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run `work` in the thread; the event loop is not woken when it is done, unless somebody awaits it by then."""
        self._keep_up()
        return self._thread.submit(work, *args, **kwargs)

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work` in the thread."""
        return await asyncio.wrap_future(self.start(work, *args, **kwargs))

    async def ask(self, model: str, work: Callable[[T], R]) -> R | Missing:
        """Run `work` in the thread with the part of a model, which has every event that the store holds by now."""
        return await self.compute(self.with_part, model, work)

    def with_part(self, model: str, work: Callable[[T], R]) -> R | Missing:
        """Do `work` with the part of a model; Missing where it is not held. Runs in the thread."""
        return work(part) if (part := self.part(model)) else Missing(model)

    def part(self, model: str) -> T | None:
        """The part of a model, with every event that the store holds by now; None where it is not held. Runs in the thread."""
        part = self._parts.get(model)
        if part is not None and not self.behind:  # a store that is away is tried between requests
            self._catch_up(part)
        return part

    async def together(self, rows: list[int], work: Callable[[list[int]], Awaitable[list[Any] | Missing]]) -> list[Any]:
        """Answers of a batch: of `work(rows)`, and of each row where they fail together."""
        try:
            answers = await work(rows)
            return [answers] * len(rows) if isinstance(answers, Missing) else answers
        except Exception as error:
            if len(rows) == 1:
                log.exception("a request could not be computed")
                return [Failed(type(error).__name__)]
        return [answer for row in rows for answer in await self.together([row], work)]

    def idle(self, part: T) -> None:
        """What is done for a model between requests; runs in the thread."""
        self._catch_up(part)

    def _load(self, model: Model) -> None:
        from timerec.online.base import open_base

        try:
            base = open_base(Path(model.bundle), self._folder, Path(model.data) if model.data else None)
            if base.digest != model.digest:
                raise DataError(f"{model.bundle}: holds another bundle by now: POST it to /v1/models, or serve it anew")
            part = self.make(base)
            pa.default_memory_pool().release_unused()  # Arrow keeps what it read with
            self._catch_up(part)
        except DataError as error:
            self._failed[model.digest], self._failed_at[model.digest] = str(error), time.monotonic()
        except Exception as error:  # whatever is wrong with a bundle, the others go on
            log.exception("model %s of %s could not be loaded", model.digest, model.bundle)
            self._failed[model.digest] = f"{model.bundle}: cannot be loaded ({type(error).__name__}: {error})"
            self._failed_at[model.digest] = time.monotonic()
        else:
            self._parts[model.digest] = part

    def _catch_up(self, part: T) -> None:
        try:
            while stored := self._store.since(part.seq, PAGE):
                part.take(stored)
                if len(stored) < PAGE:
                    break
            self.behind = False
        except (StoreUnavailable, DataError) as error:
            if not self.behind:
                log.warning("answers go on without the newest events: %s", error)
            self.behind = True

    def _keep_up(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._between_requests())

    async def _between_requests(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(IDLE)
            turn += 1
            try:
                if self.behind:  # not in the thread that answers: a server that hangs would hold it
                    await asyncio.to_thread(self._store.ping)
                    self.behind = False
                if turn % LOOK == 0 and (self._holding is None or self._holding.done()):  # beside: a model may take minutes
                    self._holding = asyncio.get_running_loop().create_task(self._hold_what_is_wanted())
                await asyncio.get_running_loop().run_in_executor(self._thread, self._idle)
            except (StoreUnavailable, DataError):
                self.behind = True
            except Exception:  # the next request says what is wrong; the loop must live
                log.exception("catching up failed")

    def _idle(self) -> None:
        for part in list(self._parts.values()):
            if not self.behind:  # one wait for a server that hangs is enough
                self.idle(part)

    async def _hold_what_is_wanted(self) -> None:
        try:
            await self._hold(await asyncio.to_thread(read_models, self._store, self._configured))
        except (StoreUnavailable, DataError):
            self.behind = True
        except Exception:
            log.exception("models could not be held")

    async def _hold(self, models: Models) -> None:
        for model in models.wanted():
            tried = self._failed_at.get(model.digest, -math.inf)
            if model.digest not in self._parts and time.monotonic() - tried > RETRIED:
                await self.load(vars(model))
        wanted = {model.digest for model in models.wanted()}
        if models.active.digest in self._parts:
            for digest in set(self._parts) - wanted:
                del self._parts[digest]
