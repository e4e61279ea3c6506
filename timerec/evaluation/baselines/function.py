"""A recommender of your own as a baseline: a function that ranks items for requests.

    def again(history, requests, k):
        lists = np.full((len(requests), k), -1, np.int32)
        for r, (user, time) in enumerate(zip(requests.user, requests.time)):
            items, _ = history.before(user, time)
            latest = list(dict.fromkeys(items[::-1].tolist()))[:k]
            lists[r, : len(latest)] = latest
        return lists

`history` is a `base.History` of the whole log, to be read strictly before each request; `requests` have no truth. The lists
are dense item indices, best first, -1 where a list has ended; `history.item_ids` and `history.user_ids` name them.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.evaluation.baselines.base import History
from timerec.evaluation.protocol import Pairs, Requests
from timerec.schema import DataError

Function = Callable[[History, Requests, int], Any]
DEEP = 200  # places of the lists by which pairs are scored
CHECKED = 5  # requests that are asked again with the future taken away


class FunctionBaseline:
    """The lists of a function, which is held to the law: without the future it has to give the same."""

    def __init__(self, name: str, function: Function, title: str = "") -> None:
        self.name, self.title, self._function = name, title or name, function
        self.grid: list[dict[str, float]] = [{}]

    def fit(self, log: History, cut: int, **params: float) -> None:
        """Nothing is fitted here."""
        self.log = log

    def recommend(self, requests: Requests, k: int) -> NDArray[np.int32]:
        """Int32 [n, k].

        Raises:
            DataError: the function fails, gives no lists of known items, or reads events at or after the request.
        """
        ranked = self._ask(self.log, requests, k)
        for r in np.unique(np.linspace(0, len(requests) - 1, CHECKED).astype(int)) if len(requests) else ():
            one = _rows(requests, np.array([r]))
            past = self.log.time < requests.time[r]
            short = replace(self.log, user=self.log.user[past], item=self.log.item[past], time=self.log.time[past])
            if not np.array_equal(self._ask(self.log, one, k), self._ask(short, one, k)):
                raise DataError(
                    f"baseline '{self.name}': its list for user {requests.user[r]} at {requests.time[r]} changes when events "
                    "at and after that second are taken away: let it read only what is strictly before the request"
                )
        return ranked

    def score(self, requests: Requests, pairs: Pairs) -> NDArray[np.float64]:
        """Pairs [P] by their place in lists of DEEP items; those further down are equal."""
        ranked = self._ask(self.log, requests, min(DEEP, self.log.n_items))
        row, column = np.nonzero(ranked >= 0)
        width = np.int64(self.log.n_items)
        key, first = np.unique(row * width + ranked[row, column], return_index=True)  # the first place of an item counts
        wanted = pairs.request * width + pairs.item
        if not len(key):
            return np.zeros(len(wanted))
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        return np.where(key[at] == wanted, float(ranked.shape[1]) - column[first[at]], 0.0)

    def _ask(self, log: History, requests: Requests, k: int) -> NDArray[np.int32]:
        blind = _rows(requests, np.arange(len(requests)))
        try:
            found = np.asarray(self._function(log, blind, k))
        except Exception as error:
            raise DataError(f"baseline '{self.name}': its function failed ({type(error).__name__}: {error}): mend it") from error
        if found.shape != (len(requests), k) or found.dtype.kind not in "iu":
            raise DataError(
                f"baseline '{self.name}': gave {found.dtype} {found.shape}: return whole numbers of shape {(len(requests), k)}, "
                "item indices with -1 where a list has ended"
            )
        if found.size and (found.min() < -1 or found.max() >= log.n_items):
            raise DataError(f"baseline '{self.name}': gave item {found.max()}: return indices from 0 to {log.n_items - 1}, or -1")
        return found.astype(np.int32)


def function_baseline(name: str, function: Function, title: str = "") -> FunctionBaseline:
    """A baseline whose lists are those of `function(history, requests, k)` (see the module)."""
    return FunctionBaseline(name, function, title)


def load_baseline(place: str) -> FunctionBaseline:
    """The function that "module:function" names, looked for in the working directory too.

    Raises:
        DataError: there is no such function.
    """
    module, colon, name = place.partition(":")
    if not colon or not module or not name:
        raise DataError(f"baseline '{place}': write it as module:function, for example my_module:my_function")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DataError(f"baseline '{place}': cannot be imported ({error}): give a function of a module in this folder") from None
    if not callable(function):
        raise DataError(f"baseline '{place}': is no function: give one that takes history, requests and k")
    return function_baseline(name, function)


def _rows(requests: Requests, rows: NDArray[np.int64]) -> Requests:
    """These requests without their truth."""
    none = np.zeros(0, np.int32)
    return Requests(
        requests.user[rows], requests.time[rows], np.zeros(len(rows) + 1, np.int64), none, requests.n_history[rows],
        requests.user_known[rows],
    )  # fmt: skip
