"""The forecast stage on a local Ray: files, accuracy, workers, death and resumption of a worker."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.unit.test_forecast_fit import SMALL, waves
from timerec.clock import WEEK
from timerec.config import ClusterConfig, ForecasterConfig
from timerec.forecaster.backtest import ground, judge, recurrent
from timerec.forecaster.features import ForecastFeatures
from timerec.forecaster.fit import fit_local
from timerec.forecaster.prepared import read_series
from timerec.forecaster.series import ItemSeries
from timerec.pipeline.forecast import apply, forecast
from timerec.schema import DataError
from timerec.training.forecast_loop import fit_distributed

CUT = 44
ONE, TWO = ClusterConfig(workers=1), ClusterConfig(workers=2)
CONFIG = SMALL.model_copy(update={"epochs": 12, "hidden": 16})


def write_prepared(folder: Path, s: ItemSeries) -> Path:
    item = np.repeat(np.arange(s.n_items, dtype=np.int32), s.lengths)
    step = (np.arange(len(s.y)) - s.offsets[item] + s.first_step[item]).astype(np.int32)
    some = s.y > 0
    table = pa.table({"item": item[some], "step": step[some], "count": s.y[some], "value": 2 * s.y[some]})
    folder.mkdir()
    pq.write_table(table, folder / "series.parquet")
    manifest = {"step": "week", "origin": s.origin, "n_steps": s.n_steps, "n_items": s.n_items}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("forecast") / "prepared", waves())


def test_the_stage_writes_what_it_says(ray_local: None, prepared: Path, tmp_path: Path) -> None:
    metrics = forecast(prepared, tmp_path, CONFIG, TWO, fit_until=CUT * WEEK + 99)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["fit"]["workers"] == 2
    assert metrics["judged_on"] == "the first steps after the cut"
    assert metrics["origins"] == list(range(CUT - 1, CUT + 7))
    accuracy = metrics["accuracy"]
    assert set(accuracy) == {"model", "naive", "moving_average"} and set(accuracy["model"]) == {"all", "1", "2"}
    assert accuracy["model"]["all"]["wape"] < 0.6 * accuracy["moving_average"]["all"]["wape"]
    features = ForecastFeatures.load(tmp_path / "features")
    assert features.names[:3] == ["forecast_1", "forecast_2", "momentum"]
    assert apply(tmp_path, prepared).values.tobytes() == features.values.tobytes()
    examples = json.loads((tmp_path / "examples.json").read_text())
    assert len(examples["items"]) == 6
    assert all(len(one["forecast"]) == 2 for item in examples["items"] for one in item["forecasts"])
    assert all(np.all(np.array(one["low"]) <= one["high"]) for item in examples["items"] for one in item["forecasts"])
    assert 0.6 < metrics["interval"]["model"]["coverage"]["all"] < 0.95
    assert sum(metrics["demand"]["classes"].values()) == metrics["demand"]["active"] == 120
    assert not (tmp_path / "train").exists()


def test_a_classical_method_is_rolled_and_applied(ray_local: None, prepared: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"kind": "theta"})
    metrics = forecast(prepared, tmp_path, config, ONE, fit_until=CUT * WEEK)
    assert metrics["kind"] == "theta"
    assert metrics["fit"]["own"] > 0.5 * metrics["fit"]["rows"]
    assert metrics["accuracy"]["model"]["all"]["wape"] < 1.0
    assert 0.6 < metrics["interval"]["model"]["coverage"]["all"] < 0.95
    features = ForecastFeatures.load(tmp_path / "features")
    assert apply(tmp_path, prepared).values.tobytes() == features.values.tobytes()


@pytest.mark.slow
def test_auto_takes_the_best_before_the_cut(ray_local: None, prepared: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"kind": "auto"})
    metrics = forecast(prepared, tmp_path, config, ONE, fit_until=CUT * WEEK)
    table = metrics["auto"]["candidates"]
    assert set(table) == {"gru", "lstm", "tsb", "croston", "naive", "moving_average"}
    assert metrics["kind"] == metrics["auto"]["chosen"] == min(("gru", "lstm", "tsb", "croston"), key=lambda k: table[k]["wape"])
    assert metrics["kind"] in ("gru", "lstm")  # a wave that smoothing cannot follow
    assert max(metrics["auto"]["origins"]) + config.horizons < CUT
    assert json.loads((tmp_path / "model.json").read_text())["kind"] == metrics["kind"]


def test_auto_needs_steps_to_compare(prepared: Path, tmp_path: Path, ray_local: None) -> None:
    with pytest.raises(DataError, match=r"^setting forecaster.kind=auto: 3 steps .* choose forecaster.kind=gru"):
        forecast(prepared, tmp_path, CONFIG.model_copy(update={"kind": "auto"}), ONE, fit_until=3 * WEEK)


def test_one_worker_two_workers_and_no_ray_reach_the_same_loss(ray_local: None, prepared: Path, tmp_path: Path) -> None:
    series = read_series(prepared)
    local: list[float] = []
    fit_local(series, CONFIG, CUT, on_epoch=lambda epoch, train, loss: local.append(loss))
    best = [min(local)]
    for workers in (ONE, TWO):
        _, facts = fit_distributed(series, CONFIG, workers, CUT, tmp_path / str(workers.workers))
        best.append(min(loss for _, loss in facts["curve"]))
    assert max(best) < 1.05 * min(best)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_a_finished_run_is_not_repeated(ray_local: None, tmp_path: Path) -> None:
    series = waves(400)
    config = ForecasterConfig(hidden=64, epochs=16, batch_size=16, horizons=2)
    killed: list[int] = []
    watch = threading.Thread(target=_kill_a_worker, args=(tmp_path, killed), daemon=True)
    watch.start()
    model, facts = fit_distributed(series, config, ClusterConfig(workers=2, max_failures=1), CUT, tmp_path)
    watch.join(timeout=5)
    assert killed
    assert len(facts["curve"]) == facts["epochs"] > 4
    start = time.perf_counter()
    again, _ = fit_distributed(series, config, ClusterConfig(workers=2, max_failures=1), CUT, tmp_path)
    assert time.perf_counter() - start < 60
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def _kill_a_worker(storage: Path, killed: list[int]) -> None:
    """Kill one training worker of this process's own Ray as soon as there is a checkpoint."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not list(storage.glob("*/checkpoint_*/state.pt")):
        time.sleep(0.05)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and "RayTrainWorker" in _command(entry) and _is_ours(int(entry.name)):
            os.kill(int(entry.name), signal.SIGKILL)
            killed.append(int(entry.name))
            return


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace")
    except OSError:  # ended meanwhile
        return ""


def _is_ours(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def test_without_a_network_there_are_still_features(prepared: Path, tmp_path: Path) -> None:
    config = ForecasterConfig(kind="none", horizons=2)
    metrics = forecast(prepared, tmp_path, config, ONE, fit_until=CUT * WEEK)
    assert set(metrics["accuracy"]) == {"naive", "moving_average"}
    features = ForecastFeatures.load(tmp_path / "features")
    assert features.names == ["level", "trend", "period", "volatility", "since"]
    assert apply(tmp_path, prepared).values.tobytes() == features.values.tobytes()


def test_a_late_cut_is_judged_on_held_out_items() -> None:
    series = waves()
    predictors = {"model": recurrent(series, fit_local(series, SMALL, 60))}
    metrics = judge(series, ground(series, 2, 60, seed=17), 2, predictors)
    assert metrics["judged_on"].startswith("held-out items")
    assert metrics["origins"] == [57] and metrics["items"] == 12


def test_forecasts_are_judged_right_after_the_cut() -> None:
    series = waves()
    on = ground(series, 2, 30, seed=17)
    assert on is not None and on.where == "the first steps after the cut"
    assert on.origins.tolist() == list(range(29, 37))
    near = ground(series, 2, series.n_steps - 6, seed=17)
    assert near is not None and near.origins.tolist() == list(range(series.n_steps - 7, series.n_steps - 3))


def test_a_damaged_series_file_is_a_sentence(prepared: Path, tmp_path: Path) -> None:
    broken = write_prepared(tmp_path / "broken", waves(5))
    (broken / "series.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match=r"series.parquet, column count: cannot be read .* prepare stage again$"):
        read_series(broken)
    with pytest.raises(DataError, match="column rating"):
        read_series(prepared, "rating")
