"""Answers of the served system against those of `timerec recommend`, over a test period that is told to it event by event.

    python -m bench.parity RUN/bundle DATA --before MOMENT [--requests 1000]

The service starts with the log before MOMENT, the start of the test period. Then the events come over HTTP in the order of time,
and each of the drawn requests (a user at the second of a later event) is asked when all events before it have been told. The
in-process recommender answers the same requests from the whole log. Prints how many lists are equal, the largest difference of
scores and NDCG@10 of both; last, JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.service import served
from timerec.client import Client
from timerec.evaluation.metrics import ranking_metrics
from timerec.pipeline.recommend import recommend
from timerec.schema import Columns

K = 10
A_CALL = 1000  # events told at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path, help="data set directory with interactions.parquet")
    parser.add_argument("--before", type=int, required=True, help="unix seconds: what the service starts with")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=8767)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="timerec-parity-") as name:
        found = compare(asked, Path(name))
    for key, value in found.items():
        print(f"{key:28} {value}")
    print(json.dumps(found))


def compare(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole: requests, both answers, and how they differ."""
    log = pd.read_parquet(asked.data / "interactions.parquet").sort_values(Columns.TIME, kind="stable", ignore_index=True)
    coming = log[log[Columns.TIME] >= asked.before]
    requests, truth = draw(log, coming, asked.requests, asked.seed)
    requests.to_parquet(folder / "requests.parquet")
    recommend(asked.bundle, asked.data, folder / "requests.parquet", folder / "expected.parquet", K)
    expected = pd.read_parquet(folder / "expected.parquet")

    early = folder / "early"
    shutil.copytree(asked.data, early, ignore=shutil.ignore_patterns("interactions.parquet"))
    log[log[Columns.TIME] < asked.before].to_parquet(early / "interactions.parquet")
    with service(asked, early, folder, int(log[Columns.TIME].max())) as client:
        began = time.perf_counter()
        answers = list(replay(client, coming, requests))
        took = time.perf_counter() - began

    lists = dict(list(expected.groupby(Columns.REQUEST)))
    equal, apart = 0, 0.0
    for request, answer in zip(requests[Columns.REQUEST], answers, strict=True):
        mine, theirs = answer["items"], lists[request].sort_values(Columns.RANK)
        equal += [one["item_id"] for one in mine] == theirs[Columns.ITEM].astype(str).tolist()
        scores = np.array([one["score"] for one in mine])
        if len(scores) == len(theirs):
            apart = max(apart, float(np.abs(scores - theirs[Columns.SCORE].to_numpy()).max(initial=0.0)))
    online = [[one["item_id"] for one in answer["items"]] for answer in answers]
    offline = [
        lists[request].sort_values(Columns.RANK)[Columns.ITEM].astype(str).tolist() for request in requests[Columns.REQUEST]
    ]
    return {
        "requests": len(requests), "events told": len(coming), "lists equal": equal, "largest difference of scores": apart,
        "ndcg@10 online": ndcg(online, truth), "ndcg@10 offline": ndcg(offline, truth),
        "degraded": sum(bool(answer["degraded"]) for answer in answers), "seconds": round(took, 1),
    }  # fmt: skip


def draw(log: pd.DataFrame, coming: pd.DataFrame, n: int, seed: int) -> tuple[pd.DataFrame, list[list[str]]]:
    """Requests in the order of time, and of each what was taken of items that had an event before."""
    first = log.groupby(Columns.ITEM)[Columns.TIME].min()
    known = coming[coming[Columns.ITEM].map(first) < coming[Columns.TIME]]
    taken = known.groupby([Columns.TIME, Columns.USER], sort=True)[Columns.ITEM].agg(lambda items: sorted(set(map(str, items))))
    chosen = np.sort(np.random.default_rng(seed).choice(len(taken), min(n, len(taken)), replace=False))
    taken = taken.iloc[chosen]
    requests = taken.index.to_frame(index=False)[[Columns.USER, Columns.TIME]]
    return requests.assign(**{Columns.REQUEST: np.arange(len(requests))}), taken.tolist()


def replay(client: Client, coming: pd.DataFrame, requests: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Answers, each asked when everything before its moment has been told."""
    columns = [name for name in (Columns.USER, Columns.ITEM, Columns.TIME, Columns.EVENT, Columns.VALUE) if name in coming]
    rows = coming[columns].astype({Columns.USER: str, Columns.ITEM: str}).to_dict("records")
    times, sent = coming[Columns.TIME].to_numpy(), 0
    for user, at in zip(requests[Columns.USER], requests[Columns.TIME], strict=True):
        due = int(np.searchsorted(times, at))
        while sent < due:
            upto = min(due, sent + A_CALL)
            client.events([{**row, "event_id": f"log-{place}"} for place, row in enumerate(rows[sent:upto], sent)])
            sent = upto
        yield client.recommend(str(user), at=int(at), k=K)


def ndcg(lists: list[list[str]], truth: list[list[str]]) -> float:
    """Mean NDCG@10, binary gains (`timerec.evaluation.metrics`)."""
    number: dict[str, int] = {}
    ranked = np.full((len(lists), K), -1, np.int32)
    for row, items in enumerate(lists):
        ranked[row, : len(items)] = [number.setdefault(item, len(number)) for item in items]
    flat = [sorted(number.setdefault(item, len(number)) for item in items) for items in truth]
    start = np.concatenate([[0], np.cumsum([len(items) for items in flat])])
    return float(ranking_metrics(ranked, start, np.concatenate(flat).astype(np.int32), K)["ndcg@10"].mean())


@contextmanager
def service(asked: argparse.Namespace, early: Path, folder: Path, last: int) -> Iterator[Client]:
    """`timerec serve` on the early log; its clock says that the whole log is over."""
    settings = folder / "settings.yaml"
    settings.write_text("patience: {encoder: 60, forecaster: 60, answer: 120}\n")  # no answer may lack a part
    options = {
        "--config": settings, "--bundle": asked.bundle.absolute(), "--data": early, "--store": folder / "events.db",
        "--clock": pd.Timestamp(last + 1, unit="s", tz="UTC").isoformat(),
    }  # fmt: skip
    with served(folder, asked.port, options) as running:
        yield Client(running.url, timeout=120.0)


if __name__ == "__main__":
    main()
