"""The fusion's deployment: candidates, features and scores, with what encoder and forecaster say."""

from __future__ import annotations

import asyncio
from typing import Any

from ray.serve.handle import DeploymentHandle

from serve_app.replica import Replica, batched
from timerec.candidates.pairs import ForecastTable
from timerec.online.live import LiveState, warm
from timerec.online.messages import Answer, Ask, Heard
from timerec.online.ranker import Ranker
from timerec.online.similar import Likeness

BATCH = 32  # requests ranked at once


class Fusion(Replica):
    """Ranks candidates from a state that every stored event is part of."""

    def __init__(self, bundle: str, data: str | None, folder: str, store: str, forecaster: DeploymentHandle) -> None:
        import torch

        torch.set_num_threads(1)
        super().__init__(bundle, data, folder, store)
        state = self.base.state()
        self._state = LiveState(state, self.base.weights)
        self._ranker = Ranker(self._state, self.base.bundle.model(state, stranger=True), state.items)
        self._likeness = Likeness(self._state)
        self._forecaster, self._fetching = forecaster, asyncio.Lock()
        manifest, forecast = state.manifest, state.sources.forecast
        self._covered, self._told = int(manifest["last"] - forecast.origin) // forecast.step, 0
        self.idle()
        self._ranker.rank([Ask(None, 0)], [None])  # kernels are compiled or loaded before the first request
        warm()

    async def rank(self, ask: Ask, heard: Heard | None, forecast: tuple[int, int]) -> Answer:
        """Answer one request.

        Args:
            heard: what the encoder says; without it the answer lacks that term.
            forecast: steps that the forecaster's table has, and the place in the store when it was made. A request waits for
                steps that are missing here; a table that only late events changed is fetched beside.
        """
        covered, told = forecast
        if covered > self._covered:
            await self._fetch(covered)
        elif told > self._told and not self._fetching.locked():
            self._beside = asyncio.get_running_loop().create_task(self._fetch(covered, told))
        answer: Answer = await self._rank(ask, heard)
        return answer

    async def similar(self, item_id: str, k: int, at: int) -> list[dict[str, Any]] | None:
        """Items like an item, the likest first; None for an unknown one."""
        return await self.compute(self._similar, item_id, k, at)

    async def status(self) -> dict[str, Any]:
        """How far it has read."""
        return {"seq": self._state.seq, "behind": self.behind, "covered": self._covered, "model": self.base.digest}

    def idle(self) -> None:
        self.catch_up(self._state, lambda: self._state.seq)

    @batched(max_batch_size=BATCH, batch_wait_timeout_s=0.0)
    async def _rank(self, asks: list[Ask], heard: list[Heard | None]) -> list[Answer]:
        return await self.compute(self._answer, asks, heard)

    def _answer(self, asks: list[Ask], heard: list[Heard | None]) -> list[Answer]:
        self.idle()
        told: dict[str, Any] = {"behind": self.behind, "model": self.base.digest, "forecast": (self._covered, self._told)}
        return [answer._replace(**told) for answer in self._ranker.rank(asks, heard)]

    def _similar(self, item_id: str, k: int, at: int) -> list[dict[str, Any]] | None:
        self.idle()
        found = self._likeness.like(item_id, k, at)
        return (
            None
            if found is None
            else [{**self._ranker.describe(index), "reason": why, "score": score} for index, why, score in found]
        )

    async def _fetch(self, covered: int, told: int = 0) -> None:
        """Take the forecaster's table; the request that needs it waits, others go on with the old one."""
        async with self._fetching:
            if covered > self._covered or told > self._told:
                found, told, table = await self._forecaster.table.remote(covered)
                await self.compute(self._swap, found, told, table)

    def _swap(self, covered: int, told: int, table: ForecastTable) -> None:
        self._state.forecast(table)
        self._covered, self._told = covered, told
