"""Stage 7: all stages in order. A finished stage with unchanged inputs is skipped; an interrupted one resumes."""

from __future__ import annotations

import hashlib
import json
import shutil
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import timerec
from timerec.bundle import RunFolders, write_bundle
from timerec.config import Config
from timerec.data.cluster import connect
from timerec.evaluation.baselines import load_baseline
from timerec.pipeline.ablate import ablation_of
from timerec.pipeline.encode import encode
from timerec.pipeline.evaluate import evaluate
from timerec.pipeline.finetune import FINAL, TEXT, TUNED, finetune
from timerec.pipeline.forecast import forecast
from timerec.pipeline.peers import check_peers
from timerec.pipeline.prepare import prepare
from timerec.schema import Columns, DataError
from timerec.sealed import VERSION
from timerec.training.rules import RECIPE
from timerec.training.sources import StateFiles

DONE = "done.json"
SUMMARY = "summary.json"
TABLES = ("interactions", "items", "item_attributes")
FOLDERS = {"prepare": "prepared"}  # stages whose folder has another name
Progress = Callable[[str, str], None]


def run(
    data: Path,
    out: Path,
    config: Config,
    *,
    val_from: int | None = None,
    test_from: int | None = None,
    progress: Progress = lambda stage, state: None,
) -> dict[str, Any]:
    """From a data set directory to a trained, judged bundle in `out/bundle`, with `out/report.html`.

    Args:
        data: folder of interactions, items and attributes.
        out: the run's folder; stages that finished there before, with the same inputs, are not done again.
        val_from, test_from: unix seconds; by default quantiles of the event times.
        progress: told (stage, "start" | "skip" | "done in N s") as stages go by.

    Returns:
        The summary, also in `out/summary.json`: headline metrics, sizes, seconds a stage.

    Raises:
        DataError: the data or settings make the result meaningless.
    """
    data, out = data.absolute(), out.absolute()
    if not data.is_dir():
        raise DataError(f"{data}: is no folder: give the folder that holds interactions.parquet")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be made ({error.strerror}): choose another --out") from None
    for place in config.evaluate.baselines:  # what is missing is told before hours of training
        load_baseline(place)
    check_peers(config)
    connect(config.cluster.address)
    (out / "config.json").write_text(config.model_dump_json(indent=1))
    folders = RunFolders(out / "prepared", out / "encode", out / "forecast", out / "finetune")
    stages = _Stages(out, progress)

    inputs = {"files": _stamps(data), "data": config.data.model_dump(), "split": [val_from, test_from]}
    stages.do("prepare", inputs, lambda: prepare(data, folders.prepared, config.data, val_from, test_from))
    manifest = json.loads((folders.prepared / "manifest.json").read_text())
    cut = int(manifest["val_from"])

    cluster = config.cluster
    stages.do(
        "encode", config.encoder.model_dump(),
        lambda: encode(
            folders.prepared, folders.encoded, config.encoder, cluster.workers or 2, cluster.gpus_per_worker,
        ),
    )  # fmt: skip
    settings = {"forecaster": config.forecaster.model_dump(), "seed": config.train.seed}
    stages.do(
        "forecast", settings,
        lambda: forecast(folders.prepared, folders.forecast, config.forecaster, cluster, cut, config.train.seed),
    )  # fmt: skip
    settings = {"fusion": config.fusion.model_dump(), "train": config.train.model_dump(), "recipe": RECIPE}
    features = folders.forecast / "features"
    stages.do("finetune", settings, lambda: finetune(folders.prepared, folders.encoded, features, folders.finetuned, config))
    stages.do(
        "bundle", {},
        lambda: {"path": str(write_bundle(folders, folders.finetuned / FINAL, out / "bundle", config.model_dump()))},
    )  # fmt: skip
    files = state_files(folders)
    context = {
        "name": data.name,
        "learning": _learning(folders),
        "forecast": _forecast(folders),
        "timings": stages.seconds,
        "ablation": ablation_of(out),
    }
    tuned = folders.finetuned / TUNED
    stages.do(
        "evaluate", {"evaluate": config.evaluate.model_dump()},
        lambda: _judged(evaluate(files, out / "bundle", tuned, out / "evaluate", config, context)),
    )  # fmt: skip
    shutil.copy(out / "evaluate" / "report.html", out / "report.html")
    shutil.copy(out / "evaluate" / "metrics.json", out / "metrics.json")
    summary = {
        **stages.results["evaluate"],
        "bundle": str(out / "bundle"),
        "report": str(out / "report.html"),
        "seconds": stages.seconds,
    }
    (out / SUMMARY).write_text(json.dumps(summary, indent=1))
    return summary


def state_files(folders: RunFolders) -> StateFiles:
    """The state of a finished run, with the text vectors that fine-tuning renewed, if it did."""
    renewed = folders.finetuned / TEXT
    vectors, features = folders.encoded / "vectors.npy", folders.forecast / "features"
    return StateFiles(folders.prepared, vectors, features, folders.finetuned, renewed if renewed.exists() else None)


def judge(run_folder: Path, out: Path, config: Config) -> dict[str, Any]:
    """Judge a finished run again; writes `metrics.json` and `report.html` into `out`.

    Raises:
        DataError: the folder holds no finished run.
    """
    run_folder = run_folder.absolute()
    folders = RunFolders(*(run_folder / name for name in ("prepared", "encode", "forecast", "finetune")))
    if not (run_folder / "bundle").is_dir() or not folders.prepared.is_dir():
        raise DataError(f"{run_folder}: holds no finished run: give the --out folder of `timerec run`")
    timings = json.loads((run_folder / SUMMARY).read_text())["seconds"] if (run_folder / SUMMARY).exists() else {}
    context = {"name": run_folder.name, "learning": _learning(folders), "forecast": _forecast(folders), "timings": timings}
    context["ablation"] = ablation_of(run_folder)
    tuned = folders.finetuned / TUNED
    return _judged(evaluate(state_files(folders), run_folder / "bundle", tuned, out, config, context))


class _Stages:
    """Runs stages once: each leaves its inputs' fingerprint behind, which includes those of all stages before it."""

    def __init__(self, out: Path, progress: Progress) -> None:
        self._out, self._progress = out, progress
        self._chain = f"{timerec.__version__} {VERSION}"  # stages of another version are done again
        self.results: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}

    def do(self, name: str, inputs: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        folder = self._out / FOLDERS.get(name, name)
        self._chain = hashlib.sha256(f"{self._chain}{name}{json.dumps(inputs, sort_keys=True)}".encode()).hexdigest()
        mark = self._out / f"{name}.{DONE}"
        started = self._out / f"{name}.started"
        done = json.loads(mark.read_text()) if mark.exists() and folder.exists() else {}
        if done.get("inputs") == self._chain:
            self.results[name], self.seconds[name] = done["result"], done["seconds"]
            self._progress(name, "skip")
            return
        mark.unlink(missing_ok=True)
        if not started.exists() or started.read_text() != self._chain:
            shutil.rmtree(folder, ignore_errors=True)  # what lies there was made from other inputs
            started.write_text(self._chain)
        self._progress(name, "start")
        began = clock.perf_counter()
        result = work()
        spent = round(clock.perf_counter() - began, 1)
        self.results[name], self.seconds[name] = result, spent
        mark.write_text(json.dumps({"inputs": self._chain, "result": result, "seconds": spent}, indent=1))
        started.unlink(missing_ok=True)
        self._progress(name, f"done in {spent:.0f} s")


def _stamps(data: Path) -> dict[str, Any]:
    """Size and time of change of every file of the three tables."""
    tables = [path for name in TABLES for path in (data / name, data / f"{name}.parquet", data / f"{name}.csv")]
    files = [path for table in tables for path in (sorted(table.rglob("*")) if table.is_dir() else [table]) if path.is_file()]
    return {path.relative_to(data).as_posix(): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _learning(folders: RunFolders) -> list[dict[str, Any]]:
    curve = json.loads((folders.finetuned / "metrics.json").read_text())["curve"]
    return [
        {"epoch": part["segment"] + 1, "train_loss": part["loss"], "val_ndcg": part["ndcg"]} for part in curve if "ndcg" in part
    ]


def _forecast(folders: RunFolders) -> dict[str, Any]:
    examples = json.loads((folders.forecast / "examples.json").read_text())
    titles = pq.read_table(folders.prepared / "items.parquet", columns=[Columns.TITLE])[Columns.TITLE]
    for entry in examples.get("items", []):
        entry["title"] = titles[int(entry["item"])].as_py() or ""
    return {"metrics": json.loads((folders.forecast / "metrics.json").read_text()), "examples": examples}


def _judged(results: dict[str, Any]) -> dict[str, Any]:
    """What the summary says of the evaluation."""
    model = next(entry for entry in results["systems"] if entry["kind"] == "model")
    metric = f"ndcg@{results['k']}"
    best = max((e for e in results["systems"] if e["kind"] == "baseline"), key=lambda e: e["metrics"][metric]["mean"])
    return {
        "test": {name: value["mean"] for name, value in model["metrics"].items()},
        "interval": {name: [value["low"], value["high"]] for name, value in model["metrics"].items()},
        "validation": results["validation"],
        "best_baseline": {"name": best["name"], metric: best["metrics"][metric]["mean"]},
        "requests": results["protocol"]["requests"],
    }
