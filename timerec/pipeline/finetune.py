"""Stage 4: fine-tune the joint model on requests before the test, validated in between."""

from __future__ import annotations

import hashlib
import json
import shutil
import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

from timerec.bundle import category_indices, category_names
from timerec.candidates import similar
from timerec.config import Config, TrainConfig
from timerec.data.cluster import connect
from timerec.encoder import reduce
from timerec.encoder.item_text import compose
from timerec.eventlog import open_log
from timerec.model import JointModel, Shape
from timerec.schema import Columns, DataError, Prepared
from timerec.state import State
from timerec.training.batching import Builder
from timerec.training.finetune_loop import START, Plan, finetune_distributed
from timerec.training.requests import TrainingRequests, between, draw
from timerec.training.rules import LAST_HALF_LIFE, RECIPE, SNAPSHOTS, last_size, segments
from timerec.training.sources import StateFiles
from timerec.training.tables import FILE as TABLES
from timerec.training.tables import save_tables

TUNED, FINAL, SHAPE, METRICS = "tuned.safetensors", "model.safetensors", "shape.json", "metrics.json"
TEXT, TUNED_TEXT, ADAPTER = "text.npy", "tuned-text.npy", "adapter.safetensors"  # with a fine-tuned language model only
FEWEST = 20  # training requests without which nothing can be learnt
SCALES = 256  # requests on which the scales of features are measured


def finetune(
    prepared: Path, encoded: Path, forecast: Path, out: Path, config: Config, tables: Path | None = None
) -> dict[str, Any]:
    """Fit item-to-item tables and the joint model; tuned on events before validation, continued up to the test.

    Args:
        prepared, encoded, forecast: folders of stages 1 to 3.
        out: receives `tuned.safetensors` (events before validation only), `model.safetensors` (continued through validation),
            `tables.safetensors`, `shape.json`, `metrics.json`; and with `encoder.tuning: lora` the renewed text vectors and
            the adapter.
        tables: folder of another training on the same log, whose item-to-item tables are taken over.

    Returns:
        What `metrics.json` holds: the learning curve, the chosen segment, sizes and seconds.

    Raises:
        DataError: there are too few requests to learn from.
    """
    unread = [name for name in ("sequence", "text") if name in config.fusion.without]
    if unread and config.encoder.tuning == "lora":
        raise DataError(f"fusion.without names {unread[0]}, which leaves encoder.tuning=lora nothing to learn: set it to frozen")
    began = clock.perf_counter()
    connect(config.cluster.address)
    out.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((prepared / Prepared.MANIFEST).read_text())
    val_from, test_from = int(manifest["val_from"]), int(manifest["test_from"])
    log = open_log(prepared / Prepared.LOG)
    vectors = encoded / "vectors.npy"
    past = log.event_time[log.event_time < val_from]
    moments = np.append(np.quantile(past, SNAPSHOTS).astype(np.int64), [val_from, test_from])
    if tables is None:
        found_similar = similar.fit(log, moments, whole="time" in config.fusion.without)
        save_tables(out, found_similar, reduce.fit(np.load(vectors), config.train.seed))
    else:
        shutil.copy(tables / TABLES, out / TABLES)
    tables_seconds = clock.perf_counter() - began

    files = StateFiles(prepared, vectors, forecast, out)
    state = files.open().without(config.fusion.without)
    plan = _plan(state, files, config, out, val_from, test_from)
    found = finetune_distributed(plan, out / "train", f"finetune-{_fingerprint(plan, manifest)}")
    for name in (TEXT, TUNED_TEXT, ADAPTER):  # an earlier training's
        (out / name).unlink(missing_ok=True)
    save_file(found["tuned"], out / TUNED)
    save_file(found["final"], out / FINAL)
    if "text" in found:
        np.save(out / TEXT, found["text"].numpy())
        np.save(out / TUNED_TEXT, found["tuned_text"].numpy())
        save_file(found["adapter"], out / ADAPTER)
    (out / SHAPE).write_text(json.dumps({**plan.shape, "category_names": category_names(state.items)}, indent=1))
    metrics = {
        "curve": found["curve"],
        "best": found["best"],
        "workers": found["workers"],
        "requests_a_segment": len(plan.segments[0].user),
        "segments": len(plan.segments),
        "last_requests": len(plan.last.user),
        "validation_ndcg": found["curve"][found["best"]]["ndcg"],
        "seconds": {"tables": round(tables_seconds, 1), "all": round(clock.perf_counter() - began, 1)},
    }
    (out / METRICS).write_text(json.dumps(metrics, indent=1))
    return metrics


def _plan(state: State, files: StateFiles, config: Config, out: Path, val_from: int, test_from: int) -> Plan:
    train = config.train
    first_known, repeats = state.first_known(), state.sources.repeats
    begin = int(state.log.event_time.min())
    tune = between(state.log, first_known, begin + 1, val_from, repeats)
    judged = between(state.log, first_known, val_from, test_from, repeats)
    both = between(state.log, first_known, begin + 1, test_from, repeats)
    if len(tune.user) < FEWEST or len(judged.user) < 1:
        raise DataError(
            f"interactions: only {len(tune.user)} requests before validation and {len(judged.user)} in it took an item that was "
            "known by then: bring a longer log, or move --val-from and --test-from"
        )
    size, count = segments(train, len(tune.user))
    half_life = train.recency * (val_from - begin)
    parts = [draw(tune, size, half_life, val_from, train.seed + n) for n in range(count)]
    last = draw(both, last_size(size, len(tune.user)), LAST_HALF_LIFE * (test_from - val_from), test_from, train.seed + count)
    validation = _sample(judged, train)

    names = category_names(state.items)
    learn_ids = config.fusion.item_ids == "yes"  # auto: no, ids are memorised sooner than they help
    n_items = state.log.n_items
    shape = Shape.of(config.fusion, state.layout, state.text.shape[1], len(names), n_items if learn_ids else 0)
    category = category_indices(state.items, names)
    identity = np.arange(1, n_items + 1) if learn_ids else np.zeros(n_items, np.int64)
    torch.manual_seed(train.seed)
    model = JointModel(shape)
    builder = Builder(state, config.fusion.history, train.negatives, train.seed)
    model.fit_scales(builder(_rows(parts[0].take(np.arange(min(SCALES, size)))), training=True).x)
    save_file(model.state_dict(), out / START)
    texts: list[str] = []
    if config.encoder.tuning == "lora" and state.text.shape[1]:
        table = state.items
        texts = compose(table[Columns.TITLE], table[Columns.CATEGORY], table[Columns.TEXT])
    return Plan(
        files, shape.to_dict(), {"category": category, "identity": identity}, config, out / START, parts, last, validation, texts
    )


def validation_requests(state: State, config: Config, val_from: int, test_from: int) -> TrainingRequests:
    """The requests that judge the segments of a training."""
    return _sample(between(state.log, state.first_known(), val_from, test_from, state.sources.repeats), config.train)


def _sample(judged: TrainingRequests, train: TrainConfig) -> TrainingRequests:
    rng = np.random.default_rng(train.seed)
    return judged.take(np.sort(rng.permutation(len(judged.user))[: train.val_requests]))


def _fingerprint(plan: Plan, manifest: dict[str, Any]) -> str:
    """What an interrupted training must have in common with this one to be taken up."""
    settings = plan.config.model_dump(include={"encoder", "fusion", "train"})
    digest = hashlib.sha256(json.dumps([RECIPE, plan.shape, settings, manifest], sort_keys=True, default=str).encode())
    for requests in (*plan.segments, plan.last, plan.validation):
        for array in requests:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _rows(requests: TrainingRequests) -> pa.Table:
    truth = pa.LargeListArray.from_arrays(pa.array(requests.start), pa.array(requests.item))
    return pa.table({"user": requests.user, "time": requests.time, "truth": truth})
