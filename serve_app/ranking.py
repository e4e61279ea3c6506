"""What a fusion replica holds of one model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from timerec.candidates.pairs import ForecastTable
from timerec.online.base import Base
from timerec.online.live import LiveState, warm
from timerec.online.messages import Answer, Ask, Heard
from timerec.online.network import Finish
from timerec.online.ranker import Candidates, Ranker
from timerec.online.similar import Likeness
from timerec.store.events import Stored


class Found(NamedTuple):
    """Candidates of requests, and what their answers say of the state that these are of."""

    candidates: Candidates
    told: dict[str, Any]


class Ranking:
    """One model's state, and its network."""

    def __init__(self, base: Base) -> None:
        state = base.state()
        self.digest, self.state = base.digest, LiveState(state, base.weights)
        self.ranker = Ranker(self.state, base.bundle.model(state, stranger=True), state.items)
        self.likeness = Likeness(self.state)
        forecast = state.sources.forecast
        # steps in the table of forecasts, and the place in the store when it was made
        self.forecast = (int(state.manifest["last"] - forecast.origin) // forecast.step, 0)
        self.fetching: asyncio.Task[None] | None = None
        self.fetched_at = -math.inf
        self.ranker.rank([Ask(None, 0), Ask(None, 0, category="")], [None, None])
        warm()

    @property
    def seq(self) -> int:
        """Place in the store up to which it has read."""
        return self.state.seq

    def take(self, stored: Sequence[Stored]) -> None:
        """Take the next events."""
        self.state.take(stored)

    def candidates(self, asks: list[Ask], behind: bool) -> Found:
        """Find candidates; `behind` says whether events are missing in the state."""
        return Found(self.ranker.candidates(asks), {"behind": behind, "model": self.digest, "forecast": self.forecast})

    def begin(self, found: Found) -> Finish:
        """Score candidates as far as it goes without the encoder; this and `answer` may run in another thread than the rest."""
        return self.ranker.begin(found.candidates)

    def answer(self, found: Found, begun: Finish, heard: list[Heard | None]) -> list[Answer]:
        """Answer the requests."""
        answers = [answer._replace(**found.told) for answer in self.ranker.score(found.candidates, begun, heard)]
        return [
            answer._replace(heard=one.seq, behind=answer.behind or one.behind) if one else answer
            for answer, one in zip(answers, heard, strict=True)
        ]

    def swap(self, covered: int, told: int, table: ForecastTable) -> None:
        """Take another table of forecasts."""
        self.state.forecast(table)
        self.forecast = (covered, told)

    def similar(self, item_id: str, k: int, at: int) -> list[dict[str, Any]] | None:
        """Items like an item, the likest first; None for an unknown one."""
        found = self.likeness.like(item_id, k, at)
        if found is None:
            return None
        return [{**self.ranker.describe(index), "reason": why, "score": score} for index, why, score in found]
