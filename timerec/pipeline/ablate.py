"""What each source is worth: the joint model trained again without it, on the same stages, and judged on the same requests."""

from __future__ import annotations

import hashlib
import json
import shutil
import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

import timerec
from timerec.bundle import RunFolders, write_bundle
from timerec.config import ClusterConfig, Config, Source
from timerec.data.cluster import connect
from timerec.evaluation.ablation import NAME, write_ablation
from timerec.evaluation.bootstrap import interval, paired
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.protocol import Requests
from timerec.evaluation.report import write_report
from timerec.evaluation.results import plain
from timerec.pipeline.evaluate import history, requests_of
from timerec.pipeline.finetune import FINAL, TEXT, finetune
from timerec.pipeline.predict import answer
from timerec.schema import DataError
from timerec.training.sources import StateFiles

SOURCES: tuple[str, ...] = get_args(Source)
TIME = "time"
FOLDER, RESULT = "ablate", "result.json"
Progress = Callable[[str, str], None]


def ablate(
    run_folder: Path,
    sources: Sequence[str] = SOURCES,
    out: Path | None = None,
    cluster: ClusterConfig | None = None,
    progress: Progress = lambda source, state: None,
) -> dict[str, Any]:
    """Train and judge the model of a finished run once more without each of `sources`.

    Seeds, requests, forecasts and item-to-item weights are the run's; without time these weights are learnt from whole
    histories. Finished ablations of the same run are not done again. The report of the run is written anew with what was found.
    The bundle of the model without time is kept.

    Args:
        run_folder: the out folder of `timerec run`.
        out: receives a folder a source, `ablation.json` and `ablation.html`; by default `ablate` in the run's folder.
        cluster: where to train; by default as the run did.
        progress: told (source, "start" | "skip" | "done in N s").

    Returns:
        What `ablation.json` holds (see `timerec.evaluation.ablation`).

    Raises:
        DataError: the folder holds no finished run, a source is unknown, or it cannot be left out of this run.
    """
    run_folder = run_folder.absolute()
    out = (out or run_folder / FOLDER).absolute()
    unknown = [name for name in sources if name not in SOURCES]
    if unknown:
        raise DataError(f"--without {unknown[0]}: is no source: choose among {', '.join(SOURCES)}")
    config, mark = _opened(run_folder)
    if cluster is not None:
        config.cluster = cluster
    if config.fusion.without:
        raise DataError(f"{run_folder}: was itself trained with fusion.without: give a run of the whole model")
    connect(config.cluster.address)
    out.mkdir(parents=True, exist_ok=True)
    folders = RunFolders(*(run_folder / name for name in ("prepared", "encode", "forecast", "finetune")))
    judged = _Judged(folders, config)
    full_mark = _digest(mark, [])
    full = _values(out / f"full-{full_mark[:12]}.npy", lambda: judged.ndcg(run_folder / "bundle", folders))
    for source in sources:
        _one(source, out / source, folders, config, _digest(mark, [source]), judged, progress)
    results = plain(
        {"name": run_folder.name, "k": config.evaluate.k, "run": mark, "requests": len(full), "users": judged.users,
         "full": interval(full, judged.requests.user, config.evaluate.bootstrap)._asdict(),
         "rows": _rows(out, mark, full, judged.requests, config.evaluate.bootstrap)}
    )  # fmt: skip
    (out / f"{NAME}.json").write_text(json.dumps(results, indent=1))
    write_ablation(results, out / f"{NAME}.html")
    if out == run_folder / FOLDER:
        _into_report(run_folder, results)
    return results


def ablation_of(run_folder: Path) -> dict[str, Any] | None:
    """The ablations of a run, None where there are none, or none of the training that lies there now."""
    path, done = run_folder / FOLDER / f"{NAME}.json", run_folder / "finetune.done.json"
    if not path.exists() or not done.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found if found["run"] == json.loads(done.read_text())["inputs"] else None


class _Judged:
    """The test requests of a run, and the NDCG of any model on them."""

    def __init__(self, folders: RunFolders, config: Config) -> None:
        self._config = config
        state = self._files(folders).open()
        test_from, end = int(state.manifest["test_from"]), int(state.manifest["last"]) + 1
        self.requests: Requests = requests_of(state, history(state), config, test_from, end, test_from)
        self.users = len(np.unique(self.requests.user))

    def ndcg(self, bundle: Path, folders: RunFolders) -> NDArray[np.float64]:
        """NDCG [n] of a bundle's lists."""
        requests, k = self.requests, self._config.evaluate.k
        lists, _, _ = answer(
            self._files(folders), bundle, requests.user, requests.time, k=k, cluster=self._config.cluster
        )  # fmt: skip
        return ranking_metrics(lists, requests.truth_start, requests.truth_item, k)[f"ndcg@{k}"]

    @staticmethod
    def _files(folders: RunFolders) -> StateFiles:
        renewed = folders.finetuned / TEXT
        return StateFiles(
            folders.prepared, folders.encoded / "vectors.npy", folders.forecast / "features", folders.finetuned,
            renewed if renewed.exists() else None,
        )  # fmt: skip


def _one(
    source: str, out: Path, folders: RunFolders, config: Config, mark: str, judged: _Judged, progress: Progress
) -> None:  # fmt: skip
    """Train without `source` and judge; an interrupted training is taken up, another run's is thrown away."""
    result = out / RESULT
    if result.exists() and json.loads(result.read_text())["inputs"] == mark:
        progress(source, "skip")
        return
    started = out / "started"
    if not started.exists() or started.read_text() != mark:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        started.write_text(mark)
    progress(source, "start")
    began = clock.perf_counter()
    settings = config.model_copy(deep=True)
    settings.fusion.without = [source]  # type: ignore[list-item]
    if source in ("sequence", "text"):
        settings.encoder.tuning = "frozen"  # nothing reads what it would learn
    trained = RunFolders(folders.prepared, folders.encoded, folders.forecast, out / "finetune")
    found = finetune(
        folders.prepared, folders.encoded, folders.forecast / "features", trained.finetuned, settings,
        None if source == TIME else folders.finetuned,  # item-to-item weights know what is close in time
    )  # fmt: skip
    bundle = write_bundle(trained, trained.finetuned / FINAL, out / "bundle", settings.model_dump())
    np.save(out / "ndcg.npy", judged.ndcg(bundle, trained))
    shutil.rmtree(trained.finetuned / "train", ignore_errors=True)
    if source != TIME:
        shutil.rmtree(bundle)
    spent = round(clock.perf_counter() - began, 1)
    result.write_text(json.dumps({"inputs": mark, "validation": found["validation_ndcg"], "seconds": spent}, indent=1))
    progress(source, f"done in {spent:.0f} s")


def _rows(out: Path, mark: str, full: NDArray[np.float64], requests: Requests, reps: int) -> list[dict[str, Any]]:
    """One row for each finished ablation of this run: its NDCG, and whole model minus it."""
    rows = []
    for source in SOURCES:
        path = out / source / RESULT
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        if found["inputs"] != _digest(mark, [source]):
            continue
        values = np.load(out / source / "ndcg.npy")
        rows.append(
            {"source": source, "ndcg": interval(values, requests.user, reps)._asdict(), "validation": found["validation"],
             "worth": paired(full, values, requests.user, reps)._asdict(), "seconds": found["seconds"]}
        )  # fmt: skip
    return rows


def _values(path: Path, compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    if not path.exists():
        np.save(path, compute())
    return np.load(path)


def _opened(run_folder: Path) -> tuple[Config, str]:
    """Settings of a finished run, and what its training was made from."""
    done = run_folder / "finetune.done.json"
    if not (run_folder / "bundle").is_dir() or not done.exists() or not (run_folder / "config.json").exists():
        raise DataError(f"{run_folder}: holds no finished run: give the --out folder of `timerec run`")
    return Config.model_validate_json((run_folder / "config.json").read_text()), json.loads(done.read_text())["inputs"]


def _digest(mark: str, without: list[str]) -> str:
    return hashlib.sha256(f"{timerec.__version__} {mark} {without}".encode()).hexdigest()


def _into_report(run_folder: Path, results: dict[str, Any]) -> None:
    """Write the run's report once more, with the ablations in it."""
    for folder in (run_folder / "evaluate", run_folder):
        metrics = folder / "metrics.json"
        if metrics.exists():
            found = json.loads(metrics.read_text()) | {"ablation": results}
            metrics.write_text(json.dumps(found, indent=1))
            write_report(found, folder / "report.html")
