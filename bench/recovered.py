"""Which part of a generated log's process a trained model has not found.

    python -m bench.recovered RUN --kind shop [--events N] [--seed 0] [--requests 300]

RUN is a finished run on `timerec data generated` of this kind, size and seed. Over all items on offer, requests are ranked by the
model's score plus each true part of the utility, at the best of a few weights: what that gains is what the model lacks of the
part. Beside it: what the true list loses where the part is not known at all. Prints a table and, last, JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from timerec.bundle import Bundle, RunFolders
from timerec.config import load_config
from timerec.data.sources import generated
from timerec.data.sources.process import parts
from timerec.engine import Engine
from timerec.evaluation.metrics import ranking_metrics
from timerec.pipeline.evaluate import history, requests_of
from timerec.pipeline.run import state_files
from timerec.schema import Columns, Prepared

WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--kind", required=True, choices=list(generated.KINDS))
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--requests", type=int, default=300)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(asked.run, generated.draw(asked.kind, events=asked.events, seed=asked.seed), asked.requests)
    print(f"model {found['model']:.4f}, best {found['best']:.4f}, share {found['model'] / found['best']:.3f}")
    print(f"{'part':12}{'model + part':>14}{'at weight':>11}{'best - part':>13}")
    for name, entry in found["parts"].items():
        print(f"{name:12}{entry['with']:14.4f}{entry['weight']:11.2f}{entry['without']:13.4f}")
    print(json.dumps(found))


def measure(run: Path, made: generated.Drawn, number: int) -> dict[str, Any]:
    """NDCG@10 of the model, of the truth, and of both with and without each part."""
    state = state_files(RunFolders(*(run.absolute() / name for name in ("prepared", "encode", "forecast", "finetune")))).open()
    engine = Engine(state, Bundle.open(run / "bundle", verify=False).model(state))
    cut = int(state.manifest["test_from"])
    config = load_config(overrides=[f"evaluate.requests={number}"])
    requests = requests_of(state, history(state), config, cut, int(state.manifest["last"]) + 1, cut)
    user_id, item_id = (
        pq.read_table(run / "prepared" / file, columns=[name])[name].to_numpy()
        for file, name in ((Prepared.USERS, Columns.USER), (Prepared.ITEMS, Columns.ITEM))
    )
    known = state.first_known()
    model, utility = [], []
    for user, t in zip(requests.user, requests.time, strict=True):
        who = int(user_id[user])
        taken = last_taken(made, who, int(t))
        last = taken[item_id]
        told = parts(made.items, made.users, made.strength, generated.START, who, int(t), taken)
        gone = (known > t) | ((last >= 0) & (made.strength.repeats == 0.0))
        items = np.flatnonzero(~gone).astype(np.int32)
        scores = np.full(len(item_id), -np.inf)
        scores[items] = engine.score(np.array([user], np.int32), np.array([t]), np.array([0, len(items)]), items)
        model.append(scores)
        utility.append({name: part[item_id] for name, part in told.items()})
    names = list(utility[0])
    whole = [np.where(np.isfinite(scores), sum(told.values()), -np.inf) for scores, told in zip(model, utility, strict=True)]

    def judge(lists: list[NDArray[Any]]) -> float:
        ranked = np.stack([np.argsort(-values, kind="stable")[:10] for values in lists]).astype(np.int32)
        return float(np.mean(ranking_metrics(ranked, requests.truth_start, requests.truth_item, 10)["ndcg@10"]))

    entries = {}
    for name in names:
        helped = {w: judge([scores + w * told[name] for scores, told in zip(model, utility, strict=True)]) for w in WEIGHTS}
        weight = max(helped, key=lambda w: helped[w])
        without = judge([values - told[name] for values, told in zip(whole, utility, strict=True)])
        entries[name] = {"with": helped[weight], "weight": weight, "without": without}
    return {"model": judge(model), "best": judge(whole), "parts": entries, "requests": len(requests)}


def last_taken(made: generated.Drawn, user: int, t: int) -> NDArray[np.int64]:
    """Unix seconds at which the user last took each item strictly before t, int64 [I], -1 for never."""
    last = np.full(len(made.items.popularity), -1, np.int64)
    for r in range(made.users.start[user], made.users.start[user + 1]):
        if made.users.time[r] >= t:
            break
        took = (made.walked.item[r] >= 0) & ~made.walked.look[r]
        last[made.walked.item[r][took]] = made.users.time[r]
    return last


if __name__ == "__main__":
    main()
