"""Who is judged on what: a sample of the requests of a time span, their truth, and negatives to score against.

A request is all events of one user at one second. Its truth is what of it could have been recommended at that moment:
an item counts when somebody had an event with it strictly before (live catalogue), or before the cut (static
catalogue), or when it was listed by then. The split is global in time, so that no system can learn from the future of
anybody (Ji et al. 2023, "A critical study on data leakage in recommender system offline evaluation").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from timerec.schema import DataError

Catalogue = Literal["live", "static"]
NEVER = np.int64(1) << 62
TRUTH, UNIFORM, POPULARITY = 0, 1, 2  # kinds of pairs
DRAWS, ROUNDS = 300, 50  # negatives are drawn in rounds; a request whose rounds run out keeps fewer


@dataclass(frozen=True)
class Requests:
    """n requests in order of time (equal times: in order of the user key).

    `truth_item[truth_start[r] : truth_start[r + 1]]` are the items of request r, ascending, each once.
    """

    user: NDArray[np.int32]  # [n], -1 = unknown
    time: NDArray[np.int64]  # [n] unix seconds
    truth_start: NDArray[np.int64]  # [n + 1]
    truth_item: NDArray[np.int32]
    n_history: NDArray[np.int64]  # [n] events of the user strictly before the request
    user_known: NDArray[np.bool_]  # [n] the user has an event before the cut
    n_total: int = 0  # requests of the span before sampling
    n_without_truth: int = 0  # sampled requests left out because nothing of them could be known
    truth_lost_share: float = 0.0  # share of what was taken that could not be known

    def __len__(self) -> int:
        return len(self.user)

    @property
    def truth_size(self) -> NDArray[np.int64]:
        """Number of truth items of each request, int64 [n]."""
        return np.diff(self.truth_start)

    @property
    def truth_row(self) -> NDArray[np.int64]:
        """Request of each truth item."""
        return np.repeat(np.arange(len(self)), self.truth_size)

    def keep_truth(self, mask: NDArray[np.bool_]) -> tuple[Requests, NDArray[np.int64]]:
        """Keep the truth items under `mask`; returns the requests that still have any, and their rows."""
        size = np.bincount(self.truth_row[mask], minlength=len(self))
        rows = np.flatnonzero(size)
        start = np.concatenate([[0], np.cumsum(size[rows])])
        part = Requests(
            self.user[rows], self.time[rows], start, self.truth_item[mask], self.n_history[rows], self.user_known[rows]
        )
        return part, rows

    def counts(self) -> dict[str, Any]:
        """What was judged and what could not be, for the report."""
        return {
            "requests": len(self),
            "requests_total": self.n_total,
            "requests_without_truth": self.n_without_truth,
            "users": len(np.unique(self.user)),
            "truth_items": len(self.truth_item),
            "truth_lost_share": self.truth_lost_share,
            "requests_without_history": int((self.n_history == 0).sum()),
            "requests_of_unknown_users": int((~self.user_known).sum()),
        }


class Pairs(NamedTuple):
    """P pairs to score: the truth of each request and its negatives."""

    request: NDArray[np.int64]  # [P] ascending
    item: NDArray[np.int32]  # [P]
    kind: NDArray[np.int8]  # [P] TRUTH, UNIFORM or POPULARITY


def known_from(
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    n_items: int,
    *,
    cut: int,
    catalogue: Catalogue = "live",
    listed: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Unix seconds [n_items] from which each item can be recommended: t is late enough when `known_from <= t`.

    Args:
        catalogue: "live": from the second after the item's first event; "static": the same, but only items that could
            be recommended at `cut`.
        listed: int64 [n_items] from when an item is on offer without any event; by default never.

    >>> known_from(np.array([0, 1]), np.array([5, 9]), 3, cut=7, catalogue="static").tolist()[:1]
    [6]
    """
    first = np.full(n_items, NEVER)
    np.minimum.at(first, item, time)
    start = np.where(first < NEVER, first + 1, NEVER)
    if listed is not None:
        start = np.minimum(start, listed)
    return np.where(start <= cut, start, NEVER) if catalogue == "static" else start


def sample_requests(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    *,
    start: int,
    end: int,
    cut: int,
    n: int,
    seed: int,
    user_key: NDArray[Any] | None = None,
    catalogue: Catalogue = "live",
    listed: NDArray[np.int64] | None = None,
) -> Requests:
    """Sample at most `n` requests with start <= t < end from events sorted by (user, time, item).

    With a static catalogue events of other items are no part of any request or history. With a live one a request is
    sampled first and then judged by what could be known of it, so its truth may be empty; it is left out then, and
    counted.

    Args:
        user, item, time: [N] events, time in unix seconds.
        cut: unix seconds before which parameters are fitted.
        user_key: [n_users] original ids, so that the sample does not depend on how users were numbered.
        listed: int64 [n_items], see `known_from`.

    Raises:
        DataError: nobody took anything in the span that could be known.
    """
    n_items = len(listed) if listed is not None else int(item.max(initial=-1)) + 1
    inside = time < end
    available = known_from(item[inside], time[inside], n_items, cut=cut, catalogue=catalogue, listed=listed)
    counted = inside & (available[item] < NEVER) if catalogue == "static" else inside
    taken = np.flatnonzero(counted & (time >= start))
    opens = np.ones(len(taken), bool)
    opens[1:] = (user[taken][1:] != user[taken][:-1]) | (time[taken][1:] != time[taken][:-1])
    first = np.flatnonzero(opens)  # place in `taken` of each request's first event
    who, when = user[taken[first]], time[taken[first]]
    by_key = _key_order(who, when, user_key)
    picked = by_key[np.sort(np.random.default_rng(seed).permutation(len(by_key))[:n])]
    picked = picked[np.argsort(when[picked], kind="stable")]

    size = np.diff(np.append(first, len(taken)))[picked]
    row = np.repeat(np.arange(len(picked)), size)
    place = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size) + np.repeat(first[picked], size)
    things = item[taken[place]]
    distinct = np.ones(len(row), bool)  # within a request the events are sorted by item
    distinct[1:] = (row[1:] != row[:-1]) | (things[1:] != things[:-1])
    row, things = row[distinct], things[distinct]
    known = available[things] <= when[picked][row]

    before = np.concatenate([[0], np.cumsum(counted)])
    opening = np.searchsorted(user, who[picked])
    early = np.concatenate([[0], np.cumsum(time < cut)])
    closing = np.searchsorted(user, who[picked], side="right")
    lost = (~known).mean() if len(known) else 0.0
    if catalogue == "static":  # what is no part of the catalogue never became a request: count it in the whole span
        span = inside & (time >= start)
        lost = 1 - len(taken) / max(1, int(span.sum()))
    everything = Requests(
        who[picked].astype(np.int32),
        when[picked],
        np.searchsorted(row, np.arange(len(picked) + 1)),
        things.astype(np.int32),
        before[taken[first[picked]]] - before[opening],
        early[closing] > early[opening],
    )
    kept, _ = everything.keep_truth(known)
    if not len(kept):
        raise DataError(
            f"interactions, column 'timestamp': no request from {start} to {end} took an item that was known before; bring a "
            f"longer log, or give other dates with --val-from and --test-from"
        )
    return Requests(
        kept.user, kept.time, kept.truth_start, kept.truth_item, kept.n_history, kept.user_known,
        n_total=len(by_key), n_without_truth=len(picked) - len(kept), truth_lost_share=float(lost),
    )  # fmt: skip


def negatives(
    requests: Requests,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    time: NDArray[np.int64],
    *,
    available: NDArray[np.int64],
    popularity: NDArray[np.float64],
    repeats: bool,
    seed: int,
    n: int = 100,
) -> Pairs:
    """The truth of every request with `n` uniform and `n` popularity-matched negatives, drawn with replacement.

    A negative is on offer at t, is not in the truth and, where nothing is taken twice, is new to the user.

    Args:
        user, item, time: [N] events sorted by (user, time).
        available: int64 [n_items] as `known_from` gives it.
        popularity: [n_items] events before the cut.
        repeats: whether items that the user already has are on offer.
    """
    total = float(popularity.sum())
    if total <= 0:
        raise ValueError("popularity has no event to draw negatives from")
    lowest = np.searchsorted(user, requests.user)
    cdf = np.cumsum(popularity) / total
    drawn, found = _draw(
        np.random.default_rng(seed), requests.time, requests.truth_start, requests.truth_item, lowest,
        requests.user, user, item, time, available, cdf, repeats, n,
    )  # fmt: skip
    request = [requests.truth_row]
    things = [requests.truth_item]
    kinds = [np.full(len(requests.truth_item), TRUTH, np.int8)]
    for kind in (UNIFORM, POPULARITY):
        real = np.arange(n) < found[:, kind - 1, None]
        request.append(np.nonzero(real)[0])
        things.append(drawn[:, kind - 1][real])
        kinds.append(np.full(int(real.sum()), kind, np.int8))
    row, kind_of = np.concatenate(request), np.concatenate(kinds)
    order = np.argsort(row, kind="stable")
    return Pairs(row[order], np.concatenate(things)[order], kind_of[order])


def _key_order(user: NDArray[np.int32], time: NDArray[np.int64], user_key: NDArray[Any] | None) -> NDArray[np.int64]:
    """Order of requests by (user key, time)."""
    if user_key is None:
        return np.arange(len(user))
    rank = np.empty(len(user_key), np.int64)
    rank[np.argsort(user_key, kind="stable")] = np.arange(len(user_key))
    return np.lexsort((time, rank[user]))


@njit(cache=True)
def _draw(rng, when, truth_start, truth_item, lowest, who, user, item, time, available, cdf, repeats, n):
    n_items = len(available)
    drawn = np.full((len(when), 2, n), -1, np.int32)
    found = np.zeros((len(when), 2), np.int64)
    refused = np.full(n_items, -1, np.int64)  # the last request that refuses the item
    for r in range(len(when)):
        for j in range(truth_start[r], truth_start[r + 1]):
            refused[truth_item[j]] = r
        if not repeats and who[r] >= 0:
            j = lowest[r]
            while j < len(user) and user[j] == who[r] and time[j] < when[r]:
                refused[item[j]] = r
                j += 1
        for kind in range(2):
            for _ in range(DRAWS * ROUNDS):
                if found[r, kind] == n:
                    break
                one = rng.integers(0, n_items) if kind == 0 else np.searchsorted(cdf, rng.random(), side="right")
                one = min(one, n_items - 1)
                if refused[one] != r and available[one] <= when[r]:
                    drawn[r, kind, found[r, kind]] = one
                    found[r, kind] += 1
    return drawn, found
