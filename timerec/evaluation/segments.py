"""Accuracy apart: by who asked, by what was taken, and by week."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.clock import WEEK
from timerec.evaluation.bootstrap import named
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Requests

Mask = NDArray[np.bool_]
RARE = 10  # an item with fewer events before the cut is rare
HEAVY = 0.9  # quantile of the history lengths from which a user counts as heavy

TITLES = {
    "all": "All requests",
    "known_users": "Known users (in the training data)",
    "new_users": "New users, with some history by now",
    "cold_users": "Cold users (no history at all)",
    "heavy_users": "Heavy users (longest tenth of histories)",
    "taken_before": "Items the user has taken before",
    "new_to_user": "Items new to the user",
    "rare_items": f"Rare items (1 to {RARE - 1} events before the cut)",
    "cold_items": "Cold items (first event after the cut)",
}


def user_segments(requests: Requests) -> dict[str, Mask]:
    """Requests by who asked, bool [n] each; known, new and cold users do not overlap and make up all."""
    some = requests.n_history > 0
    heavy = np.zeros(len(requests), bool)
    if some.any():
        heavy = some & (requests.n_history >= np.quantile(requests.n_history[some], HEAVY))
    return {
        "known_users": requests.user_known & some,
        "new_users": ~requests.user_known & some,
        "cold_users": ~some,
        "heavy_users": heavy,
    }


def item_segments(requests: Requests, popularity: NDArray[np.float64], taken: Mask) -> dict[str, Mask]:
    """Truth items by what was taken, bool [truth] each.

    Args:
        popularity: [n_items] events before the cut.
        taken: as `taken_before` gives it.
    """
    events = popularity[requests.truth_item]
    return {
        "taken_before": taken,
        "new_to_user": ~taken,
        "rare_items": (events > 0) & (events < RARE),
        "cold_items": events == 0,
    }


def taken_before(requests: Requests, user: NDArray[np.int32], item: NDArray[np.int32], time: NDArray[np.int64]) -> Mask:
    """Which truth items the user had taken strictly before the request, from events sorted by (user, time)."""
    width = np.int64(max(item.max(initial=0), requests.truth_item.max(initial=0))) + 1
    ours = np.isin(user, requests.user)
    # events of a user are in order of time, so the first of a (user, item) is the earliest
    keys, first = np.unique(user[ours] * width + item[ours], return_index=True)
    if not len(keys):
        return np.zeros(len(requests.truth_item), bool)
    row = requests.truth_row
    wanted = requests.user[row] * width + requests.truth_item
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    taken: Mask = (keys[place] == wanted) & (requests.user[row] >= 0) & (time[ours][first[place]] < requests.time[row])
    return taken


def segment_table(
    requests: Requests,
    lists: dict[str, NDArray[np.int32]],
    by_user: dict[str, Mask],
    by_item: dict[str, Mask],
    *,
    k: int = 10,
    reps: int = 1000,
) -> list[dict[str, Any]]:
    """Accuracy of each system in each segment.

    In a segment of items only those items count as truth, and only the requests that took any.

    Args:
        lists: ranked items int32 [n, k] of each system.

    Returns:
        [{"name", "title", "of": "users" | "items", "requests", "users", "truth_items",
        "systems": {system: {metric: {"mean", "low", "high"}}}}], the first over all requests.
    """
    everything = np.ones(len(requests), bool)
    parts = [("users", name, mask[requests.truth_row]) for name, mask in ({"all": everything} | by_user).items()]
    parts += [("items", name, mask) for name, mask in by_item.items()]
    table = []
    for of, name, mask in parts:
        part, rows = requests.keep_truth(mask)
        systems = {}
        for system, ranked in lists.items():
            if not len(part):
                break
            values = ranking_metrics(ranked[rows], part.truth_start, part.truth_item, k)
            systems[system] = named(values, part.user, reps)
        table.append(
            {
                "name": name,
                "title": TITLES.get(name, name),
                "of": of,
                "requests": len(part),
                "users": len(np.unique(part.user)),
                "truth_items": len(part.truth_item),
                "systems": systems,
            }
        )
    return table


def by_week(requests: Requests, values: dict[str, NDArray[np.float64]], start: int, reps: int = 1000) -> list[dict[str, Any]]:
    """Mean of one metric in each week since `start` (unix seconds) that has requests.

    Args:
        values: one value a request, [n], of each system.

    Returns:
        [{"start": unix seconds, "requests", "systems": {system: {"mean", "low", "high"}}}]
    """
    week = (requests.time - start) // WEEK
    table = []
    for number in np.unique(week):
        inside = week == number
        systems = named({name: x[inside] for name, x in values.items()}, requests.user[inside], reps)
        table.append({"start": start + int(number) * WEEK, "requests": int(inside.sum()), "systems": systems})
    return table
