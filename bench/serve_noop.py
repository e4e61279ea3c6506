"""A graph of the service's shape in which nothing is computed: what Ray Serve and HTTP cost by themselves.

The gateway reads JSON, asks the encoder and once a second the forecaster, then the fusion; payloads have the sizes of real ones.
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

ITEM = {"rank": 1, "item_id": "1082185", "title": "YELLOW BANANAS", "category": "TROPICAL FRUIT", "score": 1.25}


class Encoder:
    async def read(self, ask: Any) -> tuple[np.ndarray, np.ndarray]:
        """A user's state and the keys of fifty events."""
        return np.zeros(64, np.float32), np.zeros((50, 64), np.float32)


class Forecaster:
    async def cover(self, at: int) -> int:
        """Nothing to make sure of."""
        return at


class Fusion:
    async def rank(self, ask: Any, heard: Any, covered: int) -> list[dict[str, Any]]:
        """Ten items."""
        return [ITEM] * 10


class Gateway:
    def __init__(self, encoder: DeploymentHandle, forecaster: DeploymentHandle, fusion: DeploymentHandle) -> None:
        self._encoder, self._forecaster, self._fusion, self._asked_at = encoder, forecaster, fusion, 0.0

    async def __call__(self, request: Request) -> Response:
        """The way of a request, without work."""
        body = await request.json()
        heard = self._encoder.read.remote(body)
        if time.monotonic() - self._asked_at > 1.0:
            self._asked_at = time.monotonic()
            await self._forecaster.cover.remote(0)
        items = await self._fusion.rank.remote(body, await heard, 0)
        return Response(json.dumps({"items": items}), media_type="application/json")


def build(options: dict[str, dict[str, Any]]) -> serve.Application:
    """The graph, with the options of each deployment of the real one."""
    bound = {
        name: serve.deployment(name=f"noop-{name}", **options[name])(part).bind()
        for name, part in (("encoder", Encoder), ("forecaster", Forecaster), ("fusion", Fusion))
    }
    gateway: Any = serve.deployment(name="noop-gateway", **options["gateway"])(Gateway)
    application: serve.Application = gateway.bind(bound["encoder"], bound["forecaster"], bound["fusion"])
    return application
