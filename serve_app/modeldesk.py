"""Changing the model of a running service: load beside, check, swap, keep the old one for the way back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from serve_app.models import NOTE, Model, Models, models_of
from serve_app.problems import Problem
from serve_app.schemas import NewModel
from timerec.online.messages import Ask
from timerec.schema import DataError
from timerec.store.base import EventStore, StoreUnavailable

if TYPE_CHECKING:
    from serve_app.gateway import Gateway

P = ParamSpec("P")
R = TypeVar("R")
CANARIES = 20  # users whose lists are compared before a swap
CANARY_SECONDS = 60.0  # for all of them; replicas may still be loading


class ModelDesk:
    """One change at a time; all processes follow what is agreed in the store.

    Another gateway may be asked for another change meanwhile: each writes only upon what it has read or written itself, so that
    the one which comes second finds out, and undoes nothing.
    """

    def __init__(self, gateway: Gateway, store: EventStore, configured: Model) -> None:
        self._gateway, self._store, self._configured = gateway, store, configured
        self._one = asyncio.Lock()

    async def told(self) -> dict[str, Any]:
        """The models of the service."""
        return asdict((await self._read())[1])

    async def change(self, wanted: NewModel) -> dict[str, Any]:
        """Load a bundle in every part, check its answers, and swap; or let it answer in the shadow.

        Raises:
            Problem: it is no sound bundle, or its answers are none; then nothing has changed.
        """
        if self._one.locked():
            raise Problem(409, "another change of models is under way: wait for it")
        async with self._one:
            try:
                data = Path(wanted.data) if wanted.data else None
                model = await asyncio.to_thread(Model.at, Path(wanted.bundle), data)
            except DataError as error:
                raise Problem(422, str(error)) from None
            note, found = await self._read()
            before = replace(found, coming=None)  # one that is there was left behind, or finds out that it is no more
            asked = replace(before, coming=model).note(self._configured)
            try:
                await self._agree(asked, note)
                faults = await self._gateway.load(model)
                if faults:
                    raise Problem(422, faults[0])
                checked = await self._canaries(before.active, model)
                await self._agree(_after(before, model, wanted.shadow).note(self._configured), asked)
            except BaseException:
                with suppress(Problem, StoreUnavailable):  # another change has begun, or this one is done: what it says stands
                    await self._agree(before.note(self._configured), asked)
                raise
            return {**await self.told(), "checked": checked}

    async def back(self) -> dict[str, Any]:
        """Let the previous model answer again, and end any shadow.

        Raises:
            Problem: there is none.
        """
        if self._one.locked():
            raise Problem(409, "a change of models is under way: wait for it")
        async with self._one:
            note, now = await self._read()
            if now.previous is None:
                raise Problem(409, "there is no previous model to go back to")
            await self._agree(Models(now.previous, now.active).note(self._configured), note)
            return await self.told()

    async def _canaries(self, old: Model, new: Model) -> dict[str, Any]:
        """Lists of some users by the new model, beside those of the old one.

        Raises:
            Problem: a list is empty, lacks a part or has a score that is no number.
        """
        until, agreed = time.monotonic() + CANARY_SECONDS, []
        users = await self._patiently(partial(self._gateway.some_users, CANARIES, new.digest), until)
        for user in users:
            ask = Ask(user, self._gateway.now)
            lists = []
            for model in (old, new):
                told = await self._patiently(partial(self._whole, ask, model.digest, until), until)
                lists.append(told["items"])
            if not lists[1] or not all(math.isfinite(item["score"]) for item in lists[1]):
                raise Problem(422, f"{new.bundle}: answers user {user} with nothing, or with scores that are no numbers")
            agreed.append(overlap(*lists))
        return {"users": len(users), "overlap": sum(agreed) / len(agreed) if agreed else None}

    async def _whole(self, ask: Ask, model: str, until: float) -> dict[str, Any]:
        """An answer that lacks nothing that the model has a say in."""
        from serve_app.gateway import NotHeld

        told, _ = await self._gateway.answer(ask, model, until)
        if {"encoder", "forecaster"} & set(told["degraded"]):
            raise NotHeld(model)
        return told

    async def _patiently(self, make: Any, until: float) -> Any:
        """Ask again while replicas are still loading the model."""
        from serve_app.gateway import NotHeld

        while True:
            try:
                return await make()
            except NotHeld:
                if time.monotonic() > until:
                    raise Problem(503, "the replicas did not load the model in time: nothing has changed") from None
                await asyncio.sleep(0.5)

    async def _read(self) -> tuple[str | None, Models]:
        """What is agreed: as it is written, and what it says.

        Raises:
            Problem: the store is not as it must be.
        """
        note = await _in_full(self._store.noted, NOTE)
        return note, models_of(note, self._configured)

    async def _agree(self, note: str, was: str | None) -> None:
        """Write `note` upon the note `was`.

        Raises:
            Problem: it is another one by now, or the store is not as it must be.
        """
        written = await _in_full(self._store.renote, NOTE, note, was)
        await self._gateway.follow_now()
        if not written:
            raise Problem(409, "another change of models came in between: look at GET /v1/models")


async def _in_full(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the store in a thread; who is cancelled meanwhile ends after it, and knows what has been written.

    Raises:
        Problem: the store is not as it must be.
    """
    asked = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        await asyncio.wait({asked})
        raise
    except DataError as error:
        raise Problem(503, f"the event store cannot be used: {error}") from None


def _after(before: Models, model: Model, share: float) -> Models:
    """What is agreed once `model` has been found sound: it answers, or a `share` of the requests in the shadow."""
    if share:
        return replace(before, shadow=model, share=share)
    if model == before.active:
        return before
    shadow = before.shadow if before.shadow != model else None
    return Models(model, before.active, None, shadow, before.share if shadow else 0.0)


def overlap(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> float:
    """Share of the items of two lists that are in both.

    >>> overlap([{"item_id": "a"}, {"item_id": "b"}], [{"item_id": "b"}, {"item_id": "c"}])
    0.5
    """
    names = [{item["item_id"] for item in items} for items in (one, other)]
    return len(names[0] & names[1]) / max(1, len(names[0]), len(names[1]))
