"""The gateway's deployment: calls to the other parts, events to the store. It holds no model."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ReplicaState
from starlette.types import ASGIApp

from serve_app.calls import Busy, Down, Late, call
from serve_app.clock import Clock
from serve_app.door import Door
from serve_app.gather import GatheredByKind
from serve_app.grpc import Calls
from serve_app.http import make_api
from serve_app.keys import Keys
from serve_app.log import Writer
from serve_app.metrics import Metrics
from serve_app.modeldesk import ModelDesk, overlap
from serve_app.models import Failed, Missing, Model, Models, read_models
from serve_app.problems import Problem
from serve_app.rules import Rules
from serve_app.schemas import NewEvent, RecommendRequest
from serve_app.sent import Sent, at_most
from serve_app.settings import Settings
from timerec import __version__
from timerec.online.messages import Answer, Ask, Waits
from timerec.schema import DataError
from timerec.store.base import StoreUnavailable
from timerec.store.open import SOON, open_store

R = TypeVar("R")
FRESH = 1.0  # seconds for which the forecaster's last word on its table is taken
STATED = 1.0  # seconds for which the state of the parts is taken
ELSEWHERE = (0.0, 0.05, 0.2, 0.5, 1.0)  # seconds before each try of a request whose models a replica does not hold
FOLLOWED = 0.5  # seconds between looks at which models are agreed on
COUNTED = 2.0  # seconds between looks at how many replicas of the fusion run, where it scales
LOADING = 300.0  # seconds that a replica may take to load a model
USUAL = 50  # items of an answer, or of an exclusion, up to which it takes no longer than others
SHADOWS = 32  # requests that the shadow answers at once
log = logging.getLogger("ray.serve")


class NotHeld(Exception):
    """A replica does not hold the model that was asked for."""


class Kind(NamedTuple):
    """Requests that share calls: nobody waits for another model, or is cut short by who is in a far greater hurry."""

    model: str
    patience: int  # class of the seconds that it waits for other parts, each four times as long as the one before

    @classmethod
    def of(cls, model: str, waits: Waits) -> Kind:
        """The kind of a request."""
        return cls(model, math.frexp(max(waits))[1] // 2)


class Foretold(NamedTuple):
    """What the forecaster last said of its table."""

    covered: int = 0
    told: int = 0
    until: int = 0
    behind: bool = False
    asked_at: float = -math.inf


class Gateway(Calls):
    """Answers HTTP, and gRPC where Serve's proxy listens for it."""

    def __init__(
        self, settings: dict[str, Any], configured: dict[str, Any], shift: float, encoder: DeploymentHandle,
        forecaster: DeploymentHandle, fusion: DeploymentHandle,
    ) -> None:  # fmt: skip
        self._settings = Settings.model_validate(settings)
        self._limits, self._patience = self._settings.limits, self._settings.patience
        self._clock = Clock(shift)
        self.sent = Sent(self._limits, self._clock)
        self._encoder, self._forecaster, self._fusion = encoder, forecaster, fusion
        self._rank: GatheredByKind[Kind] = GatheredByKind(
            lambda kind: partial(fusion.rank.remote, kind.model), _calls(self._settings.fusion.min_replicas)
        )
        self._scales = self._settings.fusion.max_replicas > self._settings.fusion.min_replicas
        self._counted_at = time.monotonic()
        self._store = open_store(self._settings.store, seconds=SOON)
        self.metrics = Metrics(serve.get_replica_context().replica_id.unique_id)
        self._writer = Writer(open_store(self._settings.store), self._patience.store, self.metrics.dropped)
        self.rules = Rules(self._limits, Keys(self._settings.keys) if self._settings.keys else None)
        self._configured = Model(**configured)
        self._models = read_models(self._store, self._configured)
        self._followed_at, self._following, self._looking = time.monotonic(), False, asyncio.Lock()
        self._stated: dict[str, Any] = {}
        self._stated_at, self._stating = -math.inf, asyncio.Lock()
        self._forecasts: dict[str, Foretold] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.desk = ModelDesk(self, self._store, self._configured)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return Door(make_api(self), self.rules, self.metrics, self._settings.hosts)

    async def recommend(self, body: RecommendRequest, until: float) -> dict[str, Any]:
        """One answer, by the moment `until` of the monotonic clock."""
        return await self._recommend(self.sent.request(body), until)

    async def recommend_all(self, requests: Sequence[RecommendRequest], until: float) -> list[dict[str, Any]]:
        """Answers in the order of the requests; what cannot be answered is told before anything is computed."""
        at_most(len(requests), self._limits.batch, "requests")
        asks = [self.sent.request(one) for one in requests]
        tasks = [asyncio.create_task(self._recommend(ask, until)) for ask in asks]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # where one failed, nobody waits for the others
                task.cancel()

    async def _recommend(self, ask: Ask, until: float) -> dict[str, Any]:
        began, models = time.perf_counter(), self._follow()
        request_id = uuid.uuid4().hex
        told, record = await self._by_active(lambda model: self.answer(ask, model, until), until)
        told = {"request_id": request_id, **told}
        if self._settings.log_requests:
            self._writer.keep(request_id, json.dumps({"ask": ask._asdict(), "answer": told, **record}))
        self.metrics.answered(time.perf_counter() - began, told["degraded"])
        if models.shadow and random.random() < models.share and len(self._tasks) < SHADOWS:
            self._spawn(self._in_shadow(ask, models.shadow.digest, told["items"]))
        return told

    async def answer(self, ask: Ask, model: str, until: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answer of one model, and what a replay needs beside it.

        Raises:
            Problem: there is none in time, or a part has no room.
            NotHeld: a part does not hold the model.
        """
        degraded: list[str] = []
        forecast = await self._reach(ask.at, model, until, degraded)
        left = until - time.monotonic()
        waits = Waits(encoder=min(self._patience.encoder, 0.6 * left), forecaster=min(self._patience.forecaster, 0.6 * left))
        try:
            if left <= 0:
                raise Late
            answer: Answer = _held(await self._rank.ask(Kind.of(model, waits), left, ask, forecast, waits, alone=_long(ask)))
        except Late:
            raise Problem(504, "no answer in time: ask again, or wait longer") from None
        except (Down, Busy):
            raise Problem(503, "too many requests at this moment: ask again", {"Retry-After": "1"}) from None
        if answer.forecast[0] < forecast[0] and "forecaster" not in degraded:
            degraded.append("forecaster")  # the fusion did not get the table in time
        if answer.heard is None:
            degraded.append("encoder")
        if answer.behind or self._forecasts.get(model, Foretold()).behind:
            degraded.append("store")
        items = [{"rank": rank, **item} for rank, item in enumerate(answer.items, 1)]
        told = {
            "user_id": ask.user_id, "at": ask.at, "known": answer.known, "items": items, "degraded": degraded,
            "model": answer.model, "seq": answer.seq,
        }  # fmt: skip
        return told, {"heard": answer.heard, "forecast": answer.forecast}

    async def append(self, sent: Sequence[NewEvent]) -> list[dict[str, Any]]:
        """Store events; they are on disk when it returns."""
        at_most(len(sent), self._limits.events, "events")
        now = self._clock.now()
        rows = [self.sent.event(one, now) for one in sent]
        try:
            stored = await asyncio.wait_for(self._writer.append(rows), self._patience.answer)
        except (StoreUnavailable, TimeoutError):  # what is stored all the same counts once when it is sent again by its event_id
            told = "the event store cannot be reached: send the events again, with the same event_id where they have one"
            raise Problem(503, told, {"Retry-After": "1"}) from None
        except DataError as error:
            raise Problem(422, str(error)) from None
        self.metrics.events(len(rows), sum(one.duplicate for one in stored))
        return [
            {"event_id": row.event_id, "seq": one.seq, "duplicate": one.duplicate} for row, one in zip(rows, stored, strict=True)
        ]

    async def forecast(self, item_id: str, at: int) -> dict[str, Any]:
        """Series and forecast of an item."""
        return _found(await self._ask(self._forecaster.item, item_id, at), f"item_id {item_id!r} is not known as of then")

    async def history(self, user_id: str, at: int, limit: int) -> dict[str, Any]:
        """A user's latest events."""
        return _found(await self._ask(self._encoder.history, user_id, at, limit), f"user_id {user_id!r} has no event before then")

    async def users(self, search: str, limit: int) -> list[dict[str, Any]]:
        """Users whose identifier begins so."""
        found: list[dict[str, Any]] = await self._ask(self._encoder.users, search, limit, self.now)
        return found

    async def similar(self, item_id: str, k: int, at: int) -> list[dict[str, Any]]:
        """Items like an item."""
        return _found(await self._ask(self._fusion.similar, item_id, k, at), f"item_id {item_id!r} is not known as of then")

    async def state(self) -> dict[str, Any]:
        """State of every part and of the store, looked up once a second at most: who may ask nothing else may ask this."""
        async with self._stating:
            if time.monotonic() - self._stated_at > STATED:
                self._stated, self._stated_at = await self._look(), time.monotonic()
        return {**self._stated, "now": self._clock.next_second()}

    async def _look(self) -> dict[str, Any]:
        parts = await asyncio.gather(*(self._state(handle) for handle in (self._encoder, self._forecaster, self._fusion)))
        told: dict[str, Any] = dict(zip(("encoder", "forecaster", "fusion"), parts, strict=True))
        try:
            await asyncio.to_thread(self._store.ping)  # whether it is the one that events go to
            told["store"] = {"ok": True, "seq": await asyncio.to_thread(self._store.last)}
        except (StoreUnavailable, DataError):
            told["store"] = {"ok": False}
        ready = all(part["ok"] for part in told.values())
        return {
            **told,
            "ready": ready,
            "model": self._models.active.digest,
            "version": __version__,
        }

    def moment(self, text: str | None) -> int:
        """Unix seconds of a moment in a URL, by default now."""
        return self.sent.moment(text)

    @property
    def now(self) -> int:
        """The earliest moment as of which everything up to now has happened."""
        return self._clock.next_second()

    def until(self, deadline: float | None) -> float:
        """Moment of the monotonic clock until which somebody waits for an answer, who said so in milliseconds or did not."""
        return time.monotonic() + min(self._patience.answer, (deadline or math.inf) / 1000)

    async def _by_active(self, work: Callable[[str], Awaitable[R]], until: float) -> R:
        """What `work` says of the active model, or of the one before it where a replica is not as far yet.

        One that is slow to load may be two changes behind: then another replica is asked.
        """
        for pause in ELSEWHERE:
            if pause:
                await asyncio.sleep(max(0.0, min(pause, until - time.monotonic())))
            models = self._follow()
            for model in (models.active, models.previous or self._configured):
                try:
                    return await work(model.digest)
                except NotHeld:
                    continue
        raise Problem(503, "the model is being loaded: ask again", {"Retry-After": "2"})

    async def _in_shadow(self, ask: Ask, model: str, items: list[dict[str, Any]]) -> None:
        """Let the shadow answer, too, and count how many of the items it agrees on."""
        try:
            told, _ = await self.answer(ask, model, time.monotonic() + self._patience.answer)
        except Exception as error:  # whatever the shadow does, nobody shall see it
            if not isinstance(error, (Problem, NotHeld)):
                log.exception("the shadow failed")
            self.metrics.shadow(None)
            return
        self.metrics.shadow(overlap(items, told["items"]))

    async def _reach(self, at: int, model: str, until: float, degraded: list[str]) -> tuple[int, int]:
        """Steps that the table of forecasts has, at least all that are over at `at`, and the place in the store it is of."""
        known = self._forecasts.get(model, Foretold())
        if at < known.until and time.monotonic() - known.asked_at < FRESH:
            return known.covered, known.told
        try:
            wait = min(self._patience.forecaster, 0.6 * (until - time.monotonic()))
            found = _held(await call(lambda: self._forecaster.cover.remote(at, model), wait))
        except NotHeld:
            raise
        except Exception as error:
            _say(error, "forecaster")
            degraded.append("forecaster")
            return known.covered, known.told
        if (found["covered"], found["told"]) >= (known.covered, known.told):
            known = self._forecasts[model] = Foretold(**found, asked_at=time.monotonic())
        return known.covered, known.told

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        """What one part says for the active model, or for the one before it."""
        until = self.until(None)

        async def asked(model: str) -> Any:
            return _held(await call(partial(method.remote, *arguments, model), until - time.monotonic()))

        try:
            return await self._by_active(asked, until)
        except Late:
            raise Problem(504, "no answer in time: ask again") from None
        except (Down, Busy):
            raise Problem(503, "this part is not there at the moment: ask again", {"Retry-After": "1"}) from None

    def _follow(self) -> Models:
        """The models that all processes have agreed on, looked up from time to time."""
        if time.monotonic() - self._followed_at > FOLLOWED and not self._following:
            self._following = True  # beside: no answer waits for it
            self._spawn(self.follow_now())
        if self._scales and time.monotonic() - self._counted_at > COUNTED:
            self._counted_at = time.monotonic()
            self._spawn(self._count())
        return self._models

    async def follow_now(self) -> None:
        """Take up a change of models at once."""
        try:
            async with self._looking:  # one look after the other: an earlier one must not undo what a later one saw
                self._models = await asyncio.to_thread(read_models, self._store, self._configured)
        except (StoreUnavailable, DataError) as error:
            log.warning("which models are agreed on cannot be looked up: %s", error)
        finally:
            self._followed_at, self._following = time.monotonic(), False

    async def load(self, model: Model) -> list[str]:
        """Let a replica of each part hold a model; what is wrong with it, nothing where it is well."""
        parts = (self._encoder, self._forecaster, self._fusion)
        try:
            found = await asyncio.gather(*(call(partial(part.load.remote, vars(model)), LOADING) for part in parts))
        except (Late, Down, Busy):
            return [f"{model.bundle}: could not be loaded within {LOADING:.0f} s"]
        return [fault for fault in found if fault]

    async def some_users(self, count: int, model: str) -> list[str]:
        """Users with long histories."""
        found = _held(await call(lambda: self._encoder.users.remote("", count, self.now, model), self._patience.answer))
        return [user["user_id"] for user in found]

    async def _count(self) -> None:
        """Look how many replicas of the fusion the autoscaler runs."""
        try:
            told = (await asyncio.to_thread(serve.status)).applications[serve.get_replica_context().app_name].deployments
            self._rank.calls = _calls(told["fusion"].replica_states.get(ReplicaState.RUNNING, 0))
        except Exception as error:  # a controller that is away must not keep anybody from an answer
            log.warning("how many replicas run cannot be looked up: %r", error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _state(self, handle: DeploymentHandle) -> dict[str, Any]:
        try:
            told = await call(lambda: handle.status.remote(), 1.0)
        except (Late, Down, Busy):
            return {"ok": False}
        active = self._models.active.digest
        return {"ok": active in told["models"], "seq": told["models"].get(active), **told}

    async def check_health(self) -> None:
        """Serve replaces a gateway whose event loop does not answer this."""

    async def __del__(self) -> None:
        await self._writer.close()


def _calls(replicas: int) -> int:
    """A call at a time for each replica of the fusion, and one that it finds when it has answered."""
    return max(replicas, 1) + 1


def _long(ask: Ask) -> bool:
    """Whether a request takes the fusion so long that others should not wait with it."""
    return (
        ask.explain
        or max(ask.k, len(ask.exclude)) > USUAL
        or any(asked is not None for asked in (ask.history, ask.items, ask.category))
    )


def _held(found: Any) -> Any:
    if isinstance(found, Missing):
        raise NotHeld(found.model)
    if isinstance(found, Failed):
        raise RuntimeError(f"a part failed with {found.reason}; its own log says more")
    return found


def _say(error: Exception, part: str) -> None:
    if not isinstance(error, (Late, Down, Busy)):
        log.error("the answer goes on without the %s: %r", part, error)


def _found(found: Any, otherwise: str) -> Any:
    if found is None:
        raise Problem(404, otherwise)
    return found
