"""Fine-tuning on Ray Train: workers, resuming, a killed worker, the language model's adapters."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from tests.small_data import small_config, write_small
from tests.tiny_models import tiny_bert
from timerec.config import Config
from timerec.pipeline.encode import encode
from timerec.pipeline.finetune import finetune
from timerec.pipeline.forecast import forecast
from timerec.pipeline.prepare import prepare
from timerec.training import rules


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Path:
    """Stages 1 to 3 on the small data set, with a tiny random BERT."""
    folder = tmp_path_factory.mktemp("stages")
    config = _config(folder)
    write_small(folder / "data")
    manifest = prepare(folder / "data", folder / "prepared", config.data)
    encode(folder / "prepared", folder / "encode", config.encoder, actors=1)
    config.forecaster.kind = "none"
    forecast(folder / "prepared", folder / "forecast", config.forecaster, config.cluster, manifest["val_from"])
    return folder


def _config(folder: Path, **cluster: int) -> Config:
    config = small_config()
    model = folder / "bert"
    if not model.exists():
        tiny_bert(model)
    config.encoder.text, config.encoder.cache_dir = str(model), str(folder / "cache")
    config.train.requests, config.train.epochs, config.train.batch_size = 600, 3, 16
    for name, value in cluster.items():
        setattr(config.cluster, name, value)
    return config


def _finetune(stages: Path, out: Path, config: Config) -> dict:
    return finetune(stages / "prepared", stages / "encode", stages / "forecast" / "features", out, config)


def test_it_learns_and_one_and_two_workers_agree(stages: Path, tmp_path: Path) -> None:
    one = _finetune(stages, tmp_path / "one", _config(stages, workers=1))
    two = _finetune(stages, tmp_path / "two", _config(stages, workers=2))
    assert (one["workers"], two["workers"]) == (1, 2)
    losses = [part["loss"] for part in one["curve"][:-1]]
    assert losses[-1] < losses[0]
    # 100 validation requests: a tenth is well within their sampling error
    assert two["validation_ndcg"] == pytest.approx(one["validation_ndcg"], rel=0.1)
    assert one["curve"][one["best"]]["ndcg"] == max(part["ndcg"] for part in one["curve"] if "ndcg" in part)


def test_a_finished_training_is_taken_up_not_done_again(stages: Path, tmp_path: Path) -> None:
    config = _config(stages, workers=1)
    first = _finetune(stages, tmp_path, config)
    weights = load_file(tmp_path / "model.safetensors")
    again = _finetune(stages, tmp_path, config)
    assert again["curve"] == first["curve"]
    for name, value in load_file(tmp_path / "model.safetensors").items():
        assert np.array_equal(value, weights[name]), name


def test_a_killed_worker_is_replaced_and_the_run_finishes(stages: Path, tmp_path: Path) -> None:
    config = _config(stages, workers=1)
    killed: list[int] = []
    threading.Thread(target=_kill_worker, args=(tmp_path, killed), daemon=True).start()
    found = _finetune(stages, tmp_path, config)
    assert killed, "no worker was killed: the test shows nothing"
    assert len([part for part in found["curve"] if "ndcg" in part]) == 3
    assert found["validation_ndcg"] > 0


def _kill_worker(out: Path, killed: list[int]) -> None:
    """Kill this process's Ray Train worker once the first checkpoint is there."""
    while not list(out.rglob("checkpoint_2*")):
        time.sleep(0.05)
    for process in psutil.Process(os.getpid()).children(recursive=True):
        if "RayTrainWorker" in " ".join(process.cmdline()[:1]):
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)


def test_lora_renews_the_text_vectors_and_stores_the_adapter(stages: Path, tmp_path: Path) -> None:
    config = _config(stages, workers=1)
    config.encoder.tuning, config.train.epochs = "lora", 1
    _finetune(stages, tmp_path, config)
    before, after = np.load(stages / "encode" / "vectors.npy"), np.load(tmp_path / "text.npy")
    assert after.shape == before.shape
    assert not np.allclose(after, before, atol=1e-3)
    norms = np.linalg.norm(after, axis=1)
    assert np.allclose(norms[norms > 0], 1.0, atol=1e-3)
    adapter = load_file(tmp_path / "adapter.safetensors")
    learnt = [value for name, value in adapter.items() if "lora_B" in name]  # begins at zero
    assert learnt
    assert all(np.abs(value).max() > 0 for value in learnt)


@pytest.mark.parametrize("kind", ["concat", "gated"])
def test_both_kinds_of_fusion_train(stages: Path, tmp_path: Path, kind: str) -> None:
    config = _config(stages, workers=1)
    config.fusion.kind, config.train.epochs, config.train.requests = kind, 1, 200  # type: ignore[assignment]
    _finetune(stages, tmp_path, config)
    assert json.loads((tmp_path / "shape.json").read_text())["fusion"]["kind"] == kind


@pytest.mark.parametrize("small", [True, False])
def test_the_last_segment_of_a_large_log_has_twice_the_requests(
    stages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    config = _config(stages, workers=1)
    config.train.epochs, config.train.requests = 1, 64
    if not small:
        monkeypatch.setattr(rules, "SMALL", 0)
    found = _finetune(stages, tmp_path, config)
    assert (found["requests_a_segment"], found["last_requests"]) == (64, 64 if small else 128)
