"""What the lists show beyond their accuracy: shares of the score, segments, calibration, popularity, age of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from timerec.clock import WEEK
from timerec.evaluation.bootstrap import interval, paired
from timerec.evaluation.metrics import hits, ranking_metrics
from timerec.evaluation.protocol import Requests
from timerec.evaluation.segments import TITLES, Mask

BINS = 10
ENOUGH = 10  # users below which nothing is said of a segment

Entry = dict[str, Any]


def score_shares(values: NDArray[np.floating], groups: tuple[str, ...]) -> dict[str, float]:
    """Mean share of each group in the sum of |Shapley value| over the pairs [P, groups]; all-zero pairs are left out.

    >>> score_shares(np.array([[3.0, -1.0], [0.0, 2.0]]), ("taste", "habit"))
    {'taste': 0.375, 'habit': 0.625}
    """
    size = np.abs(values.astype(np.float64))
    total = size.sum(1)
    size, total = size[total > 0], total[total > 0]
    mean = (size / total[:, None]).mean(0) if len(total) else np.zeros(len(groups))
    return {name: float(share) for name, share in zip(groups, mean, strict=True)}


def calibration(probability: NDArray[np.floating], taken: NDArray[np.floating], bins: int = BINS) -> Entry:
    """Reliability of probabilities in bins of equal numbers, and the expected calibration error (Naeini et al. 2015).

    Args:
        probability: [P] said by the model.
        taken: [P] what came true: the item's share of what the request took, so 1 or 0 where a request takes one item.

    Returns:
        {"error": sum over bins of share · |said - found|, "said", "found": means over all, "pairs", "bins": [{"said", "found",
        "pairs"}]}
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    rows: list[Entry] = [
        {"said": float(probability[part].mean()), "found": float(taken[part].mean()), "pairs": len(part)} for part in parts
    ]
    error = sum(row["pairs"] * abs(row["said"] - row["found"]) for row in rows) / max(len(order), 1)
    said, found = (float(x.mean()) if len(order) else 0.0 for x in (probability, taken))
    return {"error": error, "said": said, "found": found, "pairs": len(order), "bins": rows}


def taken_share(requests: Requests, lists: NDArray[np.int32]) -> NDArray[np.float64]:
    """Of each place [n, k] of the lists: 1 / what the request took, where its item was among it, else 0."""
    return hits(lists, requests.truth_start, requests.truth_item) / requests.truth_size[:, None]


def popularity_bias(requests: Requests, lists: NDArray[np.int32], popularity: NDArray[np.float64], reps: int = 1000) -> Entry:
    """How popular what was recommended is, against what was taken.

    Args:
        popularity: [n_items] events before the cut; items without any are "new", the others fall into tenths of the catalogue.

    Returns:
        {"tenths": [{"title", "recommended", "taken"}], shares from new and least to most popular; "lift": mean log(1 + events)
        of a request's list minus that of what it took, paired}
    """
    known = np.flatnonzero(popularity > 0)
    tenth = np.zeros(len(popularity), np.int64)
    ranked = known[np.argsort(popularity[known], kind="stable")]
    tenth[ranked] = 1 + np.arange(len(ranked)) * 10 // max(len(ranked), 1)
    shown, taken = lists[lists >= 0], requests.truth_item
    shares = [np.bincount(tenth[items], minlength=11) / max(len(items), 1) for items in (shown, taken)]
    titles = ["new", *(str(number) for number in range(1, 11))]
    tenths = [{"title": title, "recommended": float(a), "taken": float(b)} for title, a, b in zip(titles, *shares, strict=True)]
    real = lists >= 0
    shown_mean = (np.log1p(popularity)[lists] * real).sum(1) / np.maximum(real.sum(1), 1)
    taken_mean = np.bincount(requests.truth_row, np.log1p(popularity)[taken], len(requests)) / requests.truth_size
    some = real.any(1)
    lift = paired(shown_mean[some], taken_mean[some], requests.user[some], reps)._asdict()
    return {"tenths": tenths, "lift": lift}


def against(
    requests: Requests,
    ours: NDArray[np.int32],
    theirs: NDArray[np.int32],
    by_user: dict[str, Mask],
    by_item: dict[str, Mask],
    start: int,
    *,
    k: int = 10,
    reps: int = 1000,
) -> list[Entry]:
    """NDCG of our lists minus theirs in every segment and every week since `start`, on the same requests.

    Returns:
        [{"name", "title", "of": "users" | "items" | "week", "requests", "users", "difference", "low", "high", "p", "verdict"}],
        the verdict "ahead" or "behind" where the interval leaves out zero and there are ENOUGH users, else "open".
    """
    week = (requests.time - start) // WEEK
    parts = [("users", name, mask[requests.truth_row]) for name, mask in by_user.items()]
    parts += [("items", name, mask) for name, mask in by_item.items()]
    parts += [("week", f"week {number + 1}", (week == number)[requests.truth_row]) for number in np.unique(week)]
    table = []
    for of, name, mask in parts:
        part, rows = requests.keep_truth(mask)
        if not len(part):
            continue
        values = [ranking_metrics(x[rows], part.truth_start, part.truth_item, k)[f"ndcg@{k}"] for x in (ours, theirs)]
        found = paired(values[0], values[1], part.user, reps)
        users = len(np.unique(part.user))
        clear = "ahead" if found.low > 0 else "behind" if found.high < 0 else "open"
        table.append(
            {"name": name, "title": TITLES.get(name, name), "of": of, "requests": len(part), "users": users, **found._asdict(),
             "verdict": clear if users >= ENOUGH else "open"}
        )  # fmt: skip
    return table


def by_age(
    requests: Requests, values: dict[str, NDArray[np.float64]], start: int, older_by: int, reps: int = 1000
) -> Entry:  # fmt: skip
    """Accuracy against the age of the model, on the same requests.

    Args:
        values: NDCG [n] of "fresh" (weights up to `start`, live log), "older" (fitted `older_by` seconds earlier, live log) and
            "frozen" (the fresh weights, with the log as it was at `start`).

    Returns:
        {"older_days", "requests", "older" and "frozen": fresh minus these, paired; "weeks": [{"week", "requests", "fresh",
        "older", "frozen": intervals, "lost": fresh minus frozen, paired}]}
    """
    week = (requests.time - start) // WEEK
    rows = []
    for number in np.unique(week):
        inside = week == number
        users = requests.user[inside]
        lost = paired(values["fresh"][inside], values["frozen"][inside], users, reps)._asdict()
        means = {name: interval(x[inside], users, reps)._asdict() for name, x in values.items()}
        rows.append({"week": int(number), "requests": int(inside.sum()), "users": len(np.unique(users)), **means, "lost": lost})
    differences = {name: paired(values["fresh"], values[name], requests.user, reps)._asdict() for name in ("older", "frozen")}
    return {"older_days": older_by / 86_400, "requests": len(requests), **differences, "weeks": rows}
