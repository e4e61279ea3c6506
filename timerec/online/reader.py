"""The encoder of a running system: reads the latest events of whoever asks, as of the moment of the request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from timerec.candidates.window import windows
from timerec.candidates.without import offer
from timerec.model import JointModel
from timerec.online.histories import reader_of
from timerec.online.live import LiveHistory
from timerec.online.messages import Ask, Heard


def index_of(history: LiveHistory, asks: Sequence[Ask]) -> NDArray[np.int32]:
    """User index of each request, -1 for a stranger; whoever brings a history is a guest of the log until the next call."""
    users = np.array([-1 if ask.user_id is None else history.intake.users.index(ask.user_id) for ask in asks], np.int32)
    guests = [place for place, ask in enumerate(asks) if ask.history is not None]
    if guests:
        users[guests] = history.host([asks[place].history or () for place in guests], [asks[place].at for place in guests])
    return users


class Reader:
    """Answers with what the history encoder makes of a history; the candidates need not be known."""

    def __init__(self, history: LiveHistory, model: JointModel) -> None:
        """Read from `history`, with a model that has a place for the stranger behind the catalogue (`Bundle.model`)."""
        self.history = history
        self._length = int(model.shape.fusion["history"])
        self._timeless = offer(model.shape.fusion.get("without", ())).timeless
        model.remember()
        self._read = reader_of(model)

    @torch.inference_mode()
    def read(self, asks: Sequence[Ask]) -> list[Heard]:
        """What the encoder says of each of at most `timerec.online.live.GUESTS` requests."""
        users, times = index_of(self.history, asks), np.array([ask.at for ask in asks], np.int64)
        found = windows(self.history.live.log, users, times, self._length, self._timeless)
        return [Heard(user, events, self.history.seq) for user, events in self._read(found)]
