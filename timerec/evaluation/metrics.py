"""Accuracy of ranked lists and of scores, one value a request; and what the lists show as a whole.

Lists are int32 [n, k], best first, -1 where a list has ended. An item that a list names twice counts at its first
place only. Averages are over requests; see `timerec.evaluation.bootstrap` for their intervals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def hits(ranked: NDArray[np.int32], truth_start: NDArray[np.int64], truth_item: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which places [n, k] of the lists hold an item of the request's truth (CSR as in `protocol.Requests`)."""
    n, k = ranked.shape
    width = np.int64(max(ranked.max(initial=0), truth_item.max(initial=0))) + 1
    wanted = np.repeat(np.arange(n), np.diff(truth_start)) * width + truth_item
    shown = np.arange(n)[:, None] * width + ranked
    found = np.isin(shown, wanted) & (ranked >= 0)
    order = np.argsort(ranked, axis=1, kind="stable")
    in_order = np.take_along_axis(ranked, order, axis=1)
    again = np.zeros((n, k), bool)
    np.put_along_axis(again, order[:, 1:], in_order[:, 1:] == in_order[:, :-1], axis=1)
    return found & ~again


def ranking_metrics(
    ranked: NDArray[np.int32], truth_start: NDArray[np.int64], truth_item: NDArray[np.int32], k: int = 10
) -> dict[str, Values]:
    """NDCG, Recall, HR, MRR and MAP at k of each request, float64 [n] each, named like `ndcg@10`.

    With |T| truth items and hits at places r (from 1):
        ndcg: sum 1 / log2(r + 1) over its largest possible value, that of min(|T|, k) hits at the top
            (Järvelin & Kekäläinen 2002);
        recall: hits / |T|;  hr: 1 if there is a hit;  mrr: 1 / first r;
        map: sum over hits of (hits up to r) / r, divided by min(|T|, k).

    Raises:
        ValueError: the lists are shorter than k, or a request has no truth.
    """
    if ranked.shape[1] < k:
        raise ValueError(f"lists of {ranked.shape[1]} places cannot be judged at {k}")
    size = np.diff(truth_start)
    if (size == 0).any():
        raise ValueError("a request without truth cannot be judged")
    hit = hits(ranked[:, :k], truth_start, truth_item).astype(np.float64)
    place = np.arange(1, k + 1)
    gain = 1 / np.log2(place + 1)
    best = np.minimum(size, k)
    precision = np.cumsum(hit, axis=1) / place
    return {
        f"ndcg@{k}": hit @ gain / np.cumsum(gain)[best - 1],
        f"recall@{k}": hit.sum(1) / size,
        f"hr@{k}": hit.max(1),
        f"mrr@{k}": (hit / place).max(1),
        f"map@{k}": (hit * precision).sum(1) / best,
    }


def auc(request: NDArray[np.int64], score: NDArray[np.floating], label: NDArray[np.bool_], n: int) -> Values:
    """Area under the ROC curve within each request, float64 [n]: P(truth outscores negative), ties a half.

    NaN for a request without truth or without negatives. Equals scikit-learn's roc_auc_score on each request's pairs.

    Args:
        request: [P] request of each pair, in any order.
        score: [P] comparable within a request only.
        label: [P] True for truth.

    Raises:
        ValueError: a score is NaN.
    """
    score = np.asarray(score, np.float64)
    if np.isnan(score).any():
        raise ValueError(f"{int(np.isnan(score).sum())} pairs have no score")
    order = np.lexsort((score, request))
    row, value, positive = request[order], score[order], label[order]
    opens = np.ones(len(row), bool)
    opens[1:] = (row[1:] != row[:-1]) | (value[1:] != value[:-1])
    begin = np.flatnonzero(opens)
    length = np.diff(np.append(begin, len(row)))
    total = np.bincount(row, minlength=n)
    row_start = np.cumsum(total) - total
    # mean rank of a run of equal scores, counted from 1 within the request
    rank = np.repeat(begin + (length + 1) / 2, length) - row_start[row]
    positives = np.bincount(row[positive], minlength=n).astype(np.float64)
    rank_sum = np.bincount(row[positive], weights=rank[positive], minlength=n)
    pairs = positives * (total - positives)
    out = np.full(n, np.nan)
    np.divide(rank_sum - positives * (positives + 1) / 2, pairs, out=out, where=pairs > 0)
    return out


def coverage(ranked: NDArray[np.int32], k: int, catalogue_size: int) -> float:
    """Share of the catalogue that is shown to anybody within the first k places."""
    shown = np.unique(ranked[:, :k])
    return int((shown >= 0).sum()) / catalogue_size


def novelty(ranked: NDArray[np.int32], k: int, popularity: Values) -> float:
    """Mean -log2 of the popularity share of what is shown (Vargas & Castells 2011), in bits; higher is less obvious.

    Args:
        popularity: [n_items] events before the cut. One event is added to each item, so that a new one has a finite
            value.
    """
    shown = ranked[:, :k][ranked[:, :k] >= 0]
    if not len(shown):
        return float("nan")
    share = (popularity + 1) / (popularity.sum() + len(popularity))
    return float(-np.log2(share[shown]).mean())


def popularity_percentile(ranked: NDArray[np.int32], k: int, popularity: Values) -> float:
    """Mean percentile, in [0, 100], of what is shown, among all items by events before the cut; equal items share."""
    shown = ranked[:, :k][ranked[:, :k] >= 0]
    if not len(shown):
        return float("nan")
    _, place, count = np.unique(popularity, return_inverse=True, return_counts=True)
    below = np.cumsum(count) - count
    return float((100 * (below + count / 2) / len(popularity))[place[shown]].mean())
