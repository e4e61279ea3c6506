"""The forecaster's data-parallel fit: items sharded by Ray Data, one Ray Train worker a core or GPU."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from numpy.typing import NDArray
from ray import train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device, prepare_model

from timerec.config import ClusterConfig, ForecasterConfig
from timerec.forecaster.fit import Fitting, architecture, batches, moments
from timerec.forecaster.recurrent import Architecture, RecurrentForecaster
from timerec.forecaster.sample import Sample, Tensors, choose, tensors, windowed
from timerec.forecaster.series import ItemSeries

CHECKPOINT_EVERY = 4  # epochs
STATE = "state.pt"


def fit_distributed(
    series: ItemSeries,
    config: ForecasterConfig,
    cluster: ClusterConfig,
    fit_until_step: int,
    storage: Path,
    seed: int = 17,
    precision: str = "fp32",
) -> tuple[RecurrentForecaster, dict[str, Any]]:
    """Fit on steps before `fit_until_step` with any number of workers; Ray must be connected.

    A run that was interrupted resumes from its last checkpoint under `storage` (shared by all machines) when it is
    called again with the same data and settings.

    Returns:
        The model with the best validation weights, and {"epochs", "workers", "series", "curve"}, the curve being one
        (training loss, validation loss) an epoch.

    Raises:
        DataError: there are too few steps to learn from.
    """
    sample = choose(series, config.horizons, fit_until_step, seed)
    net = architecture(config, series, fit_until_step)
    workers = min(cluster.workers or _default_workers(cluster), sample.series.n_items)
    steps = batches(sample.series, config.batch_size)
    settings = {
        "architecture": net,
        "origin": series.origin,
        "n_steps": sample.series.n_steps,
        "steps": steps,
        "epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "seed": seed,
        "precision": precision,
    }
    trainer = TorchTrainer(
        _worker,
        train_loop_config=settings,
        torch_config=TorchConfig(backend="nccl" if cluster.gpus_per_worker else "gloo"),
        scaling_config=_scaling(workers, cluster.gpus_per_worker),
        run_config=RunConfig(
            name=f"forecast-{_fingerprint(sample, settings, workers)}",
            storage_path=str(storage.resolve()),
            failure_config=FailureConfig(max_failures=cluster.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
        datasets={"series": ray.data.from_arrow(_table(sample, workers)).materialize()},
    )
    checkpoint = trainer.fit().checkpoint
    if checkpoint is None:
        raise RuntimeError("the forecaster's training ended without a checkpoint")
    with checkpoint.as_directory() as folder:
        state = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
    model = RecurrentForecaster(net)
    model.load_state_dict(state["best_weights"])
    curve = state["curve"]
    return model.eval(), {"epochs": len(curve), "workers": workers, "series": sample.series.n_items, "curve": curve}


def _worker(settings: dict[str, Any]) -> None:
    torch.manual_seed(settings["seed"])
    device = get_device()
    net: Architecture = settings["architecture"]
    data = _shard_tensors(settings, device)
    model = RecurrentForecaster(net).to(device)
    model.standardise(_sum_over_workers(moments(data)))
    parallel = {"broadcast_buffers": False}  # the standardisation is the same everywhere and constant
    wrapped = prepare_model(model, parallel_strategy_kwargs=parallel)
    fitting = Fitting(wrapped, settings["steps"], settings["epochs"], settings["learning_rate"], settings["precision"])
    generator = torch.Generator()
    curve: list[list[float]] = []
    checkpoint = train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / STATE, map_location=device, weights_only=True)
        curve = state.pop("curve")
        fitting.restore(state)
    while not fitting.done:
        generator.manual_seed(settings["seed"] + fitting.epoch)  # an epoch's order survives a restart
        sums = _sum_over_workers(fitting.train_epoch(data, generator))
        loss = fitting.end_epoch(_sum_over_workers(fitting.validate(data)))
        curve.append([float(sums[0] / sums[1]), loss])
        if fitting.done or fitting.epoch % CHECKPOINT_EVERY == 0:
            _report(fitting, curve)


def _report(fitting: Fitting, curve: list[list[float]]) -> None:
    metrics = {"epoch": fitting.epoch, "loss": curve[-1][0], "validation": curve[-1][1]}
    if train.get_context().get_world_rank() > 0:
        train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save({**fitting.state(), "curve": curve}, Path(folder) / STATE)
        train.report(metrics, checkpoint=Checkpoint.from_directory(folder))


def _shard_tensors(settings: dict[str, Any], device: torch.device) -> Tensors:
    shard = train.get_dataset_shard("series")
    parts = [part for part in shard.iter_batches(batch_size=None, batch_format="pyarrow") if part.num_rows]
    table = pa.concat_tables(parts).combine_chunks()
    column = table.column("y").combine_chunks()
    lengths = np.asarray(column.value_lengths(), dtype=np.int64)
    series = ItemSeries(
        np.concatenate([[0], np.cumsum(lengths)]),
        table.column("first_step").to_numpy().astype(np.int32),
        column.flatten().to_numpy(zero_copy_only=False),
        settings["origin"],
        settings["architecture"].step,
        settings["n_steps"],
        beside=_beside(table, settings["architecture"].beside),
    )
    sample = Sample(np.arange(series.n_items), series, table.column("held").to_numpy(zero_copy_only=False).astype(np.bool_))
    return windowed(tensors(sample, settings["architecture"])).to(device)


def _beside(table: pa.Table, columns: int) -> NDArray[np.float32] | None:
    if not columns:
        return None
    flat: NDArray[np.float32] = table.column("beside").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, columns)


def _table(sample: Sample, workers: int) -> list[pa.Table]:
    """One row an item, in at least one block a worker; long and short series, held out or not, are spread evenly."""
    series = sample.series
    columns = {
        "first_step": series.first_step,
        "held": sample.held,
        "y": pa.LargeListArray.from_arrays(pa.array(series.offsets), pa.array(series.y)),
    }
    if series.beside is not None:
        offsets = pa.array(series.offsets * series.n_beside)
        columns["beside"] = pa.LargeListArray.from_arrays(offsets, pa.array(series.beside.ravel()))
    table = pa.table(columns)
    order = np.argsort(sample.held, kind="stable")  # every block gets its share of the held-out items
    return [table.take(pa.array(order[part::workers])) for part in range(workers)]


def _sum_over_workers(sums: torch.Tensor) -> torch.Tensor:
    if train.get_context().get_world_size() > 1:
        torch.distributed.all_reduce(sums)
    return sums


def _default_workers(cluster: ClusterConfig) -> int:
    resources = ray.cluster_resources()
    if cluster.gpus_per_worker:
        return max(1, int(resources.get("GPU", 0) / cluster.gpus_per_worker))
    return max(1, min(2, int(resources.get("CPU", 1))))


def _scaling(workers: int, gpus: float) -> ScalingConfig:
    resources = {"CPU": 1.0, "GPU": gpus} if gpus else {"CPU": 1.0}
    return ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources)


def _fingerprint(sample: Sample, settings: dict[str, Any], workers: int) -> str:
    digest = hashlib.sha256(repr((sorted(settings.items()), workers)).encode())
    arrays: list[NDArray[Any]] = [sample.series.offsets, sample.series.first_step, sample.series.y, sample.held]
    if sample.series.beside is not None:
        arrays.append(sample.series.beside)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
