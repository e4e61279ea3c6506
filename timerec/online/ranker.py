"""The fusion of a running system: candidates, their features and scores as of the moment of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from timerec.candidates import batch
from timerec.counters import before, values
from timerec.fusion.fuse import GROUPS
from timerec.model import JointModel
from timerec.online.diversity import diversify
from timerec.online.live import LiveState
from timerec.online.messages import Answer, Ask, Heard
from timerec.online.network import Finish, TensorNetwork, network_of
from timerec.online.reader import index_of
from timerec.schema import Columns

OF_CATEGORY = 200  # items of an asked category that are scored beside a request's own candidates
POOL = 5  # times k: how many of the best a more diverse list is chosen from


class Candidates(NamedTuple):
    """Candidates and features of requests, as of one state: what is left to do reads nothing of it but names of items."""

    asks: Sequence[Ask]
    built: batch.Batch
    allowed: list[NDArray[np.bool_]]  # [C] of each request, whether an item may be in the answer
    vectors: list[tuple[NDArray[np.float32], NDArray[np.int32]] | None]  # of its items, and their categories, for a diverse list
    known: list[bool]  # whether the user has a history
    seq: int  # place in the store up to which the state knows all events


class Ranker:
    """Answers requests from a growing state."""

    def __init__(self, state: LiveState, model: JointModel, items: pa.Table) -> None:
        """Rank with a model that has a place for the stranger behind the catalogue (`Bundle.model`).

        Args:
            items: title and category of the catalogue, in the order of its indices.
        """
        model.remember()
        self.state, self._network, self._explaining = state, network_of(model), TensorNetwork(model)
        self._titles, self._categories = items[Columns.TITLE].to_pylist(), items[Columns.CATEGORY].to_pylist()
        self._members: dict[str, NDArray[np.int64]] = {}
        names = np.array(self._categories, dtype=object)
        for name in set(self._categories):
            self._members[name] = np.flatnonzero(names == name)

    def rank(self, asks: Sequence[Ask], heard: Sequence[Heard | None]) -> list[Answer]:
        """Answer at most `timerec.online.live.GUESTS` requests.

        Args:
            heard: what the encoder says of each; None where it says nothing, and then the score lacks that term.
        """
        found = self.candidates(asks)
        return self.score(found, self.begin(found), heard)

    def candidates(self, asks: Sequence[Ask]) -> Candidates:
        """The part of `rank` that needs the state, and not yet the encoder."""
        users, times = index_of(self.state, asks), np.array([ask.at for ask in asks], np.int64)
        extras = [self._asked_for(ask, int(user)) for ask, user in zip(asks, users, strict=True)]
        start = np.concatenate([[0], np.cumsum([len(extra) for extra in extras])])
        item = np.concatenate(extras) if start[-1] else np.zeros(0, np.int32)
        built = batch.build(
            self.state.sources, self.state.space, self.state.layout, users, times,
            extra_start=start, extra_item=item.astype(np.int32), history=0,
        )  # fmt: skip
        return Candidates(
            asks,
            built,
            [self._allowed(ask, built, row) for row, ask in enumerate(asks)],
            [self.state.vectors(built.items[row]) if ask.diversity > 0.0 else None for row, ask in enumerate(asks)],
            [bool(user >= 0 and self._known(int(user), ask.at)) for user, ask in zip(users, asks, strict=True)],
            self.state.seq,
        )

    @torch.inference_mode()
    def begin(self, found: Candidates) -> Finish:
        """The network as far as it needs no encoder. It may run beside the next `candidates`, as `score` may."""
        return self._network.begin(found.built)

    @torch.inference_mode()
    def score(self, found: Candidates, finish: Finish, heard: Sequence[Heard | None]) -> list[Answer]:
        """The rest of the network, and the best of its scores."""
        built, scores = found.built, finish(heard)
        # of the network on tensors, whose scores differ from these in the last places
        parts = self._explaining.explain(built, heard) if any(ask.explain for ask in found.asks) else {}
        answers = []
        for row, ask in enumerate(found.asks):
            places = _choose(ask, scores[row], found.allowed[row], found.vectors[row])
            listed = [{**self.describe(int(built.items[row, place])), "score": float(scores[row, place])} for place in places]
            if ask.explain:
                for entry, place in zip(listed, places, strict=True):
                    entry["parts"] = {name: float(parts[name][row, place]) for name in (*GROUPS, "baseline")}
            answers.append(Answer(listed, found.known[row], found.seq))
        return answers

    def _known(self, user: int, at: int) -> int:
        """Events of a user strictly before `at`."""
        log = self.state.live.log
        return int(before(log.event_time, log.user_start[user], log.user_size[user], at))

    def _asked_for(self, ask: Ask, user: int) -> NDArray[np.int32]:
        """Items that are scored because the request names them or their category."""
        if ask.items is not None:
            found = self.state.intake.items.indices(ask.items)
            return np.unique(found[self.state.known(found, ask.at)])
        if ask.category is None:
            return np.zeros(0, np.int32)
        members = self._members.get(ask.category, np.zeros(0, np.int64))
        log = self.state.live.log
        heat = values(
            log.item_start, log.item_size, log.occurrence_time, log.occurrence_state, members,
            np.full(len(members), ask.at), log.half_lives,
        )  # fmt: skip
        offered = heat[:, -1] > 0 if len(members) else np.zeros(0, bool)
        offered |= log.listed[members] <= ask.at
        if not self.state.sources.repeats and user >= 0:
            start = log.user_start[user]
            offered &= ~np.isin(members, log.event_item[start : start + self._known(user, ask.at)])
        members, heat = members[offered], heat[offered]
        if len(members) > OF_CATEGORY:  # those that lead at any half-life
            rank = np.argsort(np.argsort(-heat, axis=0, kind="stable"), axis=0, kind="stable").min(1)
            members = np.sort(members[np.argsort(rank, kind="stable")[:OF_CATEGORY]])
        return members.astype(np.int32)

    def _allowed(self, ask: Ask, built: batch.Batch, row: int) -> NDArray[np.bool_]:
        """Which candidates of one request may be in its answer."""
        asked = ask.items is not None or ask.category is not None
        items = built.items[row]
        allowed = np.arange(len(items)) < (built.count[row] if asked else built.standard[row])
        if ask.items is not None:
            allowed &= np.isin(items, self.state.intake.items.indices(ask.items))
        if ask.category is not None:
            allowed &= np.isin(items, self._members.get(ask.category, np.zeros(0, np.int64)))
        if ask.exclude:
            allowed &= ~np.isin(items, self.state.intake.items.indices(ask.exclude))
        return allowed

    def describe(self, index: int) -> dict[str, Any]:
        """Identifier, title and category of an item."""
        known = index < len(self._titles)
        title, category = (self._titles[index], self._categories[index]) if known else ("", "")
        return {"item_id": self.state.intake.items.name(index), "title": title, "category": category}


def _choose(
    ask: Ask,
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    vectors: tuple[NDArray[np.float32], NDArray[np.int32]] | None,
) -> NDArray[np.int64]:
    """Places of the best candidates of one request, the best first; of equal scores the earlier candidate."""
    order = np.argsort(-np.where(allowed, scores, -np.inf), kind="stable")[: int(allowed.sum())]
    if vectors is None:
        return order[: ask.k]
    pool = order[: POOL * ask.k]
    text, family = vectors
    return pool[diversify(scores[pool], text[pool], family[pool], ask.diversity, ask.k)]
