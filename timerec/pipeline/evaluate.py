"""Stage 5: judge the model and its baselines on validation and test requests, and write the evidence."""

from __future__ import annotations

import json
import os
import platform
import time as clock
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from timerec.config import Config
from timerec.data.cluster import connect
from timerec.evaluation.baselines import History, load_baseline
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Pairs, Requests, negatives, sample_requests
from timerec.evaluation.report import write_report
from timerec.evaluation.results import Task, compare, describe_system, per_request, plain
from timerec.evaluation.segments import by_week, item_segments, segment_table, taken_before, user_segments
from timerec.pipeline.baselines import judge_baselines
from timerec.pipeline.finetune import TUNED_TEXT
from timerec.pipeline.peers import check_peers, judge_peers
from timerec.pipeline.predict import Job, answer_jobs
from timerec.pipeline.study import study
from timerec.schema import Columns
from timerec.state import State
from timerec.training.sources import StateFiles

MODEL = "timerec"
METRICS, REPORT = "metrics.json", "report.html"
FITTED = (
    "Epochs and the parameters of the baselines were chosen on validation requests, with the model fitted to events before "
    "validation. The judged model then continued from those weights on requests up to the test. The forecaster's parameters "
    "come from before validation; counters and forecasts run on with the log, always as of each request."
)


def evaluate(files: StateFiles, bundle: Path, tuned: Path, out: Path, config: Config, context: dict[str, Any]) -> dict[str, Any]:
    """Judge on the test requests, beside baselines tuned on the validation requests.

    Args:
        files: state of the whole log.
        bundle: the final bundle, judged on the test.
        tuned: weights from before validation, judged on validation.
        out: receives `metrics.json` and `report.html`.
        context: entries of the results that other stages know: "name", "learning", "forecast", "timings", optional "ablation".

    Returns:
        What `metrics.json` holds.
    """
    own = [load_baseline(place) for place in config.evaluate.baselines]
    check_peers(config)
    connect(config.cluster.address)
    out.mkdir(parents=True, exist_ok=True)
    state = files.open()
    manifest, k = state.manifest, config.evaluate.k
    val_from, test_from, end = int(manifest["val_from"]), int(manifest["test_from"]), int(manifest["last"]) + 1
    log = history(state)
    val = requests_of(state, log, config, val_from, test_from, val_from)
    test = requests_of(state, log, config, test_from, end, test_from)
    task = task_of(log, test, config, test_from)

    began = clock.perf_counter()
    start = np.searchsorted(task.pairs.request, np.arange(len(test) + 1))
    renewed = tuned.with_name(TUNED_TEXT)
    before = replace(files, renewed=renewed.resolve() if renewed.exists() else None)
    jobs = [
        Job(files, test.user, test.time, k, (start, task.pairs.item)),
        Job(before, val.user, val.time, k, weights=tuned.resolve()),
    ]
    (lists, _, scores), (val_lists, _, _) = answer_jobs(bundle, jobs, config.cluster)
    values = per_request(task, lists, scores.astype(np.float64))
    seconds = clock.perf_counter() - began
    val_values = ranking_metrics(val_lists, val.truth_start, val.truth_item, k)
    trained = {"fit": context["timings"]["finetune"]} if "finetune" in context["timings"] else {}
    spent = {**trained, "answers": round(seconds, 1)}
    model = describe_system(task, MODEL, "timerec", "model", lists, values, seconds=spent)
    systems, all_lists, baseline_values = [model], {MODEL: lists}, {}
    others = judge_baselines(own, log, val, task, val_from, test_from)
    others += judge_peers(files, config, log, val, task, val_from, test_from)
    for judged in others:
        baseline_values[judged.name] = per_request(task, judged.ranked, judged.scores)
        all_lists[judged.name] = judged.ranked
        entry = describe_system(
            task, judged.name, judged.title, "baseline", judged.ranked, baseline_values[judged.name],
            params=judged.params, seconds={part: round(spent, 1) for part, spent in judged.seconds.items()},
        )  # fmt: skip
        systems.append(entry)
    taken = taken_before(test, log.user, log.item, log.time)
    ndcg = f"ndcg@{k}"
    best = max(baseline_values, key=lambda name: float(np.nanmean(baseline_values[name][ndcg])))
    findings = study(
        task, files, before, bundle, tuned, lists, all_lists[best], taken, config.cluster, (val_from, test_from)
    )  # fmt: skip
    results = plain(
        {
            "name": context["name"],
            "k": k,
            "split": {"val_from": val_from, "test_from": test_from, "end": end},
            "fit": {"tuned_before": val_from, "fitted_before": test_from, "how": FITTED},
            "protocol": {**test.counts(), "catalogue": "live", "catalogue_size": task.catalogue_size},
            "systems": systems,
            "paired": compare(task, values, baseline_values),
            "weeks": by_week(test, {name: v[ndcg] for name, v in {MODEL: values, **baseline_values}.items()}, test_from),
            "segments": segment_table(
                test, all_lists, user_segments(test), item_segments(test, task.popularity, taken), k=k, reps=200
            ),
            "validation": {name: float(np.nanmean(x)) for name, x in val_values.items()},
            "findings": findings,
            "ablation": context.get("ablation"),
            "learning": context["learning"],
            "forecast": context["forecast"],
            "data": manifest,
            "config": config.model_dump(),
            "timings": context["timings"],
            "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, Python {platform.python_version()}",
        }
    )
    (out / METRICS).write_text(json.dumps(results, indent=1))
    write_report(results, out / REPORT)
    return results


def history(state: State) -> History:
    """The log as the baselines read it."""
    log = state.log
    user = np.repeat(np.arange(log.n_users, dtype=np.int32), log.user_size)
    return History(
        user, log.event_item, log.event_time, log.n_users, log.n_items, state.sources.repeats, "live", log.listed,
        state.users.to_numpy(zero_copy_only=False), state.items[Columns.ITEM].to_numpy(),
    )  # fmt: skip


def requests_of(state: State, log: History, config: Config, start: int, end: int, cut: int) -> Requests:
    """The sampled requests of [start, end)."""
    return sample_requests(
        log.user, log.item, log.time, start=start, end=end, cut=cut, n=config.evaluate.requests,
        seed=config.evaluate.seed, user_key=state.users.to_numpy(zero_copy_only=False), catalogue="live", listed=log.listed,
    )  # fmt: skip


def task_of(log: History, requests: Requests, config: Config, cut: int) -> Task:
    """What all systems are judged on: requests, pairs, catalogue."""
    popularity = log.popularity(cut)
    available = log.available(cut)
    pairs: Pairs = negatives(
        requests, log.user, log.item, log.time, available=available, popularity=popularity, repeats=log.repeats,
        seed=config.evaluate.seed + 1,
    )  # fmt: skip
    size = int((available <= requests.time.max()).sum())
    return Task(requests, pairs, popularity, size, config.evaluate.k, config.evaluate.bootstrap)
