"""The way of a request through a gateway, without Ray."""

from __future__ import annotations

import asyncio
import time

import pytest

from serve_app.gateway import Gateway, NotHeld
from serve_app.models import Model, Models
from serve_app.problems import Problem

NEW, OLD = Model("new", None, "new"), Model("old", None, "old")


class Asked(Gateway):
    """A gateway of replicas that hold no model for the first so many tries."""

    def __init__(self, tries: int) -> None:
        self.tries, self.asked = tries, []  # type: int, list[str]

    def __del__(self) -> None:  # type: ignore[override]  # there is nothing to write, and no loop
        pass

    def _follow(self) -> Models:
        return Models(NEW, OLD)

    async def work(self, model: str) -> str:
        self.asked.append(model)
        if len(self.asked) <= self.tries:
            raise NotHeld(model)
        return model


def by_active(gateway: Asked, seconds: float = 10.0) -> str:
    return asyncio.run(gateway._by_active(gateway.work, time.monotonic() + seconds))


@pytest.mark.parametrize(("tries", "model"), [(0, "new"), (1, "old"), (2, "new"), (5, "old")])
def test_where_a_replica_holds_neither_model_another_one_is_asked(tries: int, model: str) -> None:
    gateway = Asked(tries)
    assert by_active(gateway) == model
    assert gateway.asked == [("new", "old")[place % 2] for place in range(tries + 1)]


def test_that_no_replica_holds_a_model_is_told_in_time() -> None:
    gateway, began = Asked(1000), time.monotonic()
    with pytest.raises(Problem, match="the model is being loaded") as caught:
        by_active(gateway, seconds=0.1)
    assert caught.value.status_code == 503 and time.monotonic() - began < 1.0 and len(gateway.asked) > 2
