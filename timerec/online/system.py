"""Encoder, forecaster and fusion of a base in one process: what a served graph computes, without a server between the parts."""

from __future__ import annotations

from collections.abc import Sequence

from timerec.online.base import Base
from timerec.online.forecasts import LiveForecasts
from timerec.online.live import LiveHistory, LiveState
from timerec.online.messages import Answer, Ask
from timerec.online.ranker import Ranker
from timerec.online.reader import Reader
from timerec.store.events import Stored


class System:
    """The three parts; each takes the store's events by itself, as replicas do."""

    def __init__(self, base: Base) -> None:
        state = base.state()
        self.live = LiveState(state, base.weights)
        self.history = LiveHistory(state, base.weights, counters=False)
        self.reader = Reader(self.history, base.bundle.model(state, stranger=True))
        self.ranker = Ranker(self.live, base.bundle.model(state, stranger=True), state.items)
        self.forecasts = LiveForecasts(base.files, base.bundle.path, base.weights)

    def take(self, stored: Sequence[Stored]) -> None:
        """Let every part take the next events."""
        for part in (self.live, self.history, self.forecasts):
            part.take(stored)

    def answer(self, asks: Sequence[Ask], encoder: bool = True) -> list[Answer]:
        """Answers with forecasts of every step that is over at the latest of the requests.

        Args:
            encoder: without, they lack what the encoder says.
        """
        latest = max(ask.at for ask in asks)
        if not self.forecasts.reaches(latest):
            self.forecasts.renew(latest)
            self.live.forecast(self.forecasts.table())
        return self.ranker.rank(asks, self.reader.read(asks) if encoder else [None] * len(asks))
