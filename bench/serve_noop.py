"""A graph of the service's shape in which nothing is computed: what Ray Serve and HTTP cost by themselves.

The gateway reads JSON, asks once a second the forecaster, and then the fusion, which asks the encoder; payloads have the sizes of
real ones.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import Response

# ten of them, each its own: one that comes ten times is sent once
ITEMS = [
    {
        "rank": rank,
        "item_id": f"{1_082_185 + rank}",
        "title": f"YELLOW BANANAS {rank}",
        "category": f"FRUIT {rank}",
        "score": 1.25 / rank,
    }
    for rank in range(1, 11)
]


class Encoder:
    async def read(self, ask: Any) -> tuple[np.ndarray, np.ndarray]:
        """A user's state and the keys of fifty events."""
        return np.zeros(64, np.float32), np.zeros((50, 64), np.float32)


class Forecaster:
    async def cover(self, at: int) -> int:
        """Nothing to make sure of."""
        return at


class Fusion:
    def __init__(self, encoder: DeploymentHandle) -> None:
        self._encoder = encoder

    async def rank(self, ask: Any, covered: int) -> list[dict[str, Any]]:
        """Ten items, when the encoder has answered."""
        await self._encoder.read.remote(ask)
        return ITEMS


class Gateway:
    def __init__(self, forecaster: DeploymentHandle, fusion: DeploymentHandle) -> None:
        self._forecaster, self._fusion, self._asked_at = forecaster, fusion, 0.0

    async def __call__(self, request: Request) -> Response:
        """The way of a request, without work."""
        body = await request.json()
        if time.monotonic() - self._asked_at > 1.0:
            self._asked_at = time.monotonic()
            await self._forecaster.cover.remote(0)
        items = await self._fusion.rank.remote(body, 0)
        return Response(json.dumps({"items": items}), media_type="application/json")


def build(options: dict[str, dict[str, Any]]) -> serve.Application:
    """The graph, with the options of each deployment of the real one."""

    def part(name: str, made: type, *parts: Any) -> Any:
        return serve.deployment(name=f"noop-{name}", **options[name])(made).bind(*parts)

    encoder = part("encoder", Encoder)
    application: serve.Application = part("gateway", Gateway, part("forecaster", Forecaster), part("fusion", Fusion, encoder))
    return application
