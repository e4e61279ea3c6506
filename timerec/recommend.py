"""The in-process recommender: `Recommender.load(bundle).recommend(users, at=..., k=...)`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from timerec.bundle import Bundle, place_of
from timerec.engine import Engine
from timerec.fusion.fuse import GROUPS
from timerec.schema import Columns, DataError
from timerec.state import State

Moment = int | float | str | datetime | pd.Timestamp


class Recommender:
    """Recommendations, scores and explanations in terms of the user's own ids.

    Every answer is as of its moment: it uses what happened strictly before, and nothing else.
    """

    def __init__(self, bundle: Bundle, state: State) -> None:
        """Answer from `state`, which may hold a newer log than the one the bundle was trained on."""
        self.bundle, self.state = bundle, state
        self.engine = Engine(state, bundle.model(state))

    @classmethod
    def load(cls, bundle: str | Path) -> Recommender:
        """Load a bundle with the log it was trained on.

        Raises:
            DataError: the path is no bundle, or a damaged one.
        """
        opened = Bundle.open(bundle)
        with tempfile.TemporaryDirectory(prefix="timerec-") as work:
            return cls(opened, opened.state(Path(work)))

    def recommend(self, users: Sequence[Any], *, at: Moment | Sequence[Moment], k: int = 10) -> pd.DataFrame:
        """The k best items of each user as of `at`: columns request_id (place in `users`), user_id, rank, item_id, score.

        Args:
            users: user ids; an unknown one is answered from context and momentum.
            at: one moment for all or one each: unix seconds, ISO text (UTC where it says nothing else) or datetime.

        Raises:
            DataError: a moment cannot be read, or k is not positive.
        """
        if k < 1:
            raise DataError(f"k is {k}: ask for at least one item")
        items, scores = self.engine.rank(self.user_index(users), moments(at, len(users)), k)
        row, column = np.nonzero(items >= 0)
        return pd.DataFrame(
            {
                Columns.REQUEST: row,
                Columns.USER: np.asarray(list(users), dtype=object)[row] if len(row) else [],
                Columns.RANK: column + 1,
                Columns.ITEM: self.item_ids(items[row, column]),
                Columns.SCORE: scores[row, column],
            }
        )

    def explain(self, user: Any, *, at: Moment, items: Sequence[Any] | None = None, k: int = 10) -> pd.DataFrame:
        """Why these items: Shapley values of taste, momentum, habit and context, which sum to score - baseline.

        Args:
            items: item ids to explain; by default the k best.

        Raises:
            DataError: an item is in no table.
        """
        users, moment = self.user_index([user]), moments(at, 1)
        if items is None:
            best = self.engine.rank(users, moment, k)[0][0]
            chosen = best[best >= 0]
        else:
            chosen = self.item_index(items)
        found = self.engine.explain(users, moment, np.array([0, len(chosen)]), chosen)
        frame = pd.DataFrame({Columns.ITEM: self.item_ids(chosen), Columns.SCORE: found.score, "baseline": found.baseline})
        for column, name in enumerate(GROUPS):
            frame[name] = found.values[:, column]
        frame[Columns.TITLE] = self.state.items[Columns.TITLE].take(pa.array(chosen)).to_pylist()
        return frame

    def score(self, users: Sequence[Any], items: Sequence[Any], *, at: Moment | Sequence[Moment]) -> NDArray[np.float32]:
        """Scores [n] of the pairs (users[r], items[r]) as of `at`.

        Raises:
            DataError: an item is in no table.
        """
        start = np.arange(len(users) + 1)
        return self.engine.score(self.user_index(users), moments(at, len(users)), start, self.item_index(items))

    def user_index(self, users: Sequence[Any]) -> NDArray[np.int32]:
        """Index of each user id, -1 for a stranger."""
        return place_of(_array(users), self.state.users).astype(np.int32)

    def item_index(self, items: Sequence[Any]) -> NDArray[np.int32]:
        """Index of each item id."""
        found = place_of(_array(items), self.state.items[Columns.ITEM])
        if (found < 0).any():
            first = list(items)[int(np.argmax(found < 0))]
            raise DataError(f"item_id {first!r} is in no table ({int((found < 0).sum())} such items): list it in items")
        return found.astype(np.int32)

    def item_ids(self, index: NDArray[np.int32]) -> Any:
        """Item ids of indices."""
        return self.state.items[Columns.ITEM].take(pa.array(index)).to_numpy()


def _array(ids: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(list(ids))
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # integers and texts mixed
        return pa.array([str(value) for value in ids])


def moments(at: Any, n: int) -> NDArray[np.int64]:
    """Unix seconds [n] of one moment for all or of one each; a fraction of a second counts as the next whole one.

    Raises:
        DataError: a moment cannot be read, or there are not n of them.
    """
    several = isinstance(at, (list, tuple, np.ndarray, pd.Series, pd.Index))
    values = list(at) if several else [at] * n
    if len(values) != n:
        raise DataError(f"at holds {len(values)} moments for {n} users: give one, or one each")
    return np.array([_seconds(value) for value in values], np.int64)


def _seconds(value: Any) -> int:
    if isinstance(value, (int, float, np.integer, np.floating)):
        if not np.isfinite(value):
            raise DataError(f"at is {value}: give unix seconds, ISO text or a datetime")
        return int(np.ceil(value))  # what happened strictly before 10.5 includes second 10
    try:
        moment = pd.Timestamp(value)
    except (ValueError, TypeError):
        raise DataError(f"at is {value!r}: give unix seconds, ISO text or a datetime") from None
    if pd.isna(moment):
        raise DataError(f"at is {value!r}: give unix seconds, ISO text or a datetime")
    moment = moment.tz_localize(UTC) if moment.tzinfo is None else moment
    return int(np.ceil(moment.timestamp()))
