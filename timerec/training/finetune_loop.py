"""Data-parallel fine-tuning of the joint model: requests sharded by Ray Data, one Ray Train worker a core or GPU."""

from __future__ import annotations

import tempfile
import time as clock
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch
from ray import train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, get_device, prepare_model
from safetensors.torch import load_file

from timerec.config import ClusterConfig, Config, EncoderConfig
from timerec.model import JointModel, Shape
from timerec.training.batching import Builder, Example, ahead
from timerec.training.fit import Fitting, Joint
from timerec.training.lora import LiveText
from timerec.training.requests import TrainingRequests
from timerec.training.rules import CONTINUE_RATE
from timerec.training.sources import StateFiles

STATE = "state.pt"
START = "start.safetensors"
VALIDATION = "validation"


@dataclass
class Plan:
    """What a fine-tuning run does: tuning segments judged on validation, then one last segment up to the test."""

    files: StateFiles
    shape: dict[str, Any]
    catalogue: dict[str, np.ndarray]  # category and identity [I] of the model's own tables
    config: Config
    start: Path  # safetensors of the weights before training
    segments: list[TrainingRequests]
    last: TrainingRequests
    validation: TrainingRequests
    texts: list[str] = field(default_factory=list)  # item texts, where the language model is fine-tuned


def finetune_distributed(plan: Plan, storage: Path, name: str) -> dict[str, Any]:
    """Run the plan; a run that was interrupted resumes under the same storage and name. Ray must be connected.

    Returns:
        {"tuned", "final"} weights by parameter name, {"curve"} one entry a segment, {"best"} the segment that was kept,
        {"workers"}, and {"text"} the renewed text vectors [I, D] where the language model was fine-tuned, with its {"adapter"}.
    """
    cluster = plan.config.cluster
    workers = cluster.workers or default_workers(cluster)
    named = {f"segment-{n}": requests for n, requests in enumerate(plan.segments)}
    named |= {"last": plan.last, VALIDATION: plan.validation}
    datasets: dict[str, Any] = {key: _dataset(requests, workers) for key, requests in named.items()}
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "files": plan.files,
            "shape": plan.shape,
            "catalogue": plan.catalogue,
            "config": plan.config.model_dump(),
            "start": str(plan.start.resolve()),
            "segments": len(plan.segments),
            "texts": plan.texts,
            "steps": [-(-(len(part.user) // workers) // local_batch(plan.config, workers)) for part in plan.segments],
            "last_steps": -(-(len(plan.last.user) // workers) // local_batch(plan.config, workers)),
        },
        torch_config=TorchConfig(backend="nccl" if cluster.gpus_per_worker else "gloo"),
        scaling_config=_scaling(workers, cluster.gpus_per_worker),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage.resolve()),
            failure_config=FailureConfig(max_failures=cluster.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
        datasets=datasets,
    )
    checkpoint = trainer.fit().checkpoint
    if checkpoint is None:
        raise RuntimeError("fine-tuning ended without a checkpoint")
    with checkpoint.as_directory() as folder:
        state: dict[str, Any] = torch.load(Path(folder) / STATE, map_location="cpu", weights_only=True)
    return {**state["result"], "curve": state["curve"], "best": state["best"], "workers": workers}


def default_workers(cluster: ClusterConfig) -> int:
    """One worker a GPU, or one a CPU core up to two."""
    resources = ray.cluster_resources()
    if cluster.gpus_per_worker:
        return max(1, int(resources.get("GPU", 0) / cluster.gpus_per_worker))
    return max(1, min(2, int(resources.get("CPU", 1))))


def local_batch(config: Config, workers: int) -> int:
    """Requests a step and worker: the step's size over all workers stays the same."""
    return max(1, config.train.batch_size // workers)


def _worker(settings: dict[str, Any]) -> None:
    config = Config.model_validate(settings["config"])
    device = get_device()
    if device.type == "cpu":
        torch.set_num_threads(1)
    context = train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    torch.manual_seed(config.train.seed + rank)
    state = settings["files"].open().without(config.fusion.without)
    shape = Shape(**settings["shape"])
    model = JointModel(shape)
    model.load_state_dict(load_file(settings["start"]))
    model.to(device)
    model.attach(state.text, settings["catalogue"]["category"], settings["catalogue"]["identity"])
    language, live = _language(config.encoder, settings["texts"], config.train.seed)
    joint = Joint(model, language).to(device)
    wrapped = prepare_model(joint, parallel_strategy_kwargs={"broadcast_buffers": False})
    fitting = Fitting(joint, wrapped, config.train, sum(settings["steps"]), device, live)
    builder = Builder(state, config.fusion.history, config.train.negatives, config.train.seed, config.train.candidates)
    run = _Run(settings, fitting, builder, local_batch(config, workers), rank, workers, device)
    run.resume()
    while not run.done:
        run.segment()


class _Run:
    """The walk through the plan's segments, checkpointed after each."""

    def __init__(
        self, settings: dict[str, Any], fitting: Fitting, builder: Builder, size: int, rank: int, workers: int,
        device: torch.device,
    ) -> None:  # fmt: skip
        self._settings, self._fitting, self._builder, self._size = settings, fitting, builder, size
        self._rank, self._workers, self._device = rank, workers, device
        self._patience = Config.model_validate(settings["config"]).train.patience
        self._next, self._tuning = 0, True
        self._curve: list[dict[str, float]] = []
        self._best = -1
        self._best_weights: list[torch.Tensor] = []
        self._result: dict[str, Any] = {}
        self.done = False

    def segment(self) -> None:
        """Train one segment, judge it, report it."""
        began = clock.perf_counter()
        if self._tuning:
            loss = self._train(f"segment-{self._next}")
            self._refresh_text()
            ndcg = self._fitting.validate(self._examples(VALIDATION, training=False), self._sum)
            self._curve.append({"segment": self._next, "loss": loss, "ndcg": ndcg, "seconds": clock.perf_counter() - began})
            if self._best < 0 or ndcg > self._curve[self._best]["ndcg"]:
                self._best, self._best_weights = self._next, self._fitting.weights()
            self._next += 1
            worse = self._next - 1 - self._best
            if self._next == self._settings["segments"] or worse >= self._patience:
                self._end_tuning()
        else:
            loss = self._train("last")
            self._refresh_text()
            self._curve.append({"segment": self._next, "loss": loss, "seconds": clock.perf_counter() - began})
            self._result["final"] = self._named()
            if self._fitting.live is not None:
                from timerec.encoder.peft import adapter_state

                self._result["text"] = self._fitting.joint.model.text.cpu()  # type: ignore[union-attr]
                self._result["adapter"] = adapter_state(self._fitting.joint.language)  # type: ignore[arg-type]
            self.done = True
        self._report()

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        checkpoint = train.get_checkpoint()
        if checkpoint is None:
            return
        with checkpoint.as_directory() as folder:
            state = torch.load(Path(folder) / STATE, map_location=self._device, weights_only=True)
        self._fitting.restore(state["fitting"])
        self._next, self._tuning, self.done = state["next"], state["tuning"], state["done"]
        self._curve, self._best, self._best_weights = state["curve"], state["best"], state["best_weights"]
        self._result = state["result"]
        if not self.done:
            self._refresh_text()

    def _end_tuning(self) -> None:
        self._tuning = False
        self._fitting.set_average(self._best_weights)
        self._refresh_text()
        self._result["tuned"] = self._named()
        if self._fitting.live is not None:
            self._result["tuned_text"] = self._fitting.joint.model.text.cpu()  # type: ignore[union-attr]
        self._fitting.begin(CONTINUE_RATE * self._fitting.rate, self._settings["last_steps"])

    def _train(self, dataset: str) -> float:
        sums = torch.tensor(self._fitting.run(self._examples(dataset, training=True)), dtype=torch.float64)
        total = self._sum(sums)
        return float(total[0] / total[1].clamp(min=1))

    def _examples(self, dataset: str, *, training: bool) -> Iterator[Example]:
        shard = train.get_dataset_shard(dataset)
        size = self._size if training else 4 * self._size
        return ahead(self._builder, shard.iter_batches(batch_size=size, batch_format="pyarrow"), training=training)

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        if self._workers > 1:
            values = values.to(self._device)
            torch.distributed.all_reduce(values)
        return values.cpu()

    def _refresh_text(self) -> None:
        """Renew all text vectors with the language model as it is now, shared among the workers."""
        live, joint = self._fitting.live, self._fitting.joint
        if live is None:
            return
        with self._fitting.averaged():
            table = live.refresh(joint.language, self._rank, self._workers, self._device)  # type: ignore[arg-type]
        joint.model.text = self._sum(table).to(self._device)  # type: ignore[union-attr]

    def _named(self) -> dict[str, torch.Tensor]:
        with self._fitting.averaged():
            return {name: tensor.detach().cpu().clone() for name, tensor in self._fitting.joint.model.state_dict().items()}  # type: ignore[union-attr]

    def _report(self) -> None:
        metrics = dict(self._curve[-1])
        if self._rank > 0:
            train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            state = {
                "fitting": self._fitting.state(), "next": self._next, "tuning": self._tuning, "done": self.done,
                "curve": self._curve, "best": self._best, "best_weights": [w.cpu() for w in self._best_weights],
                "result": self._result,
            }  # fmt: skip
            torch.save(state, Path(folder) / STATE)
            train.report(metrics, checkpoint=Checkpoint.from_directory(folder))


def _language(config: EncoderConfig, texts: list[str], seed: int) -> tuple[torch.nn.Module | None, LiveText | None]:
    if config.tuning == "frozen" or not texts:
        return None, None
    from timerec.encoder.language_model import load
    from timerec.encoder.peft import trainable_encoder

    tokenizer = load(config.text, config.pooling, config.max_length).tokenizer
    return trainable_encoder(config), LiveText(tokenizer, texts, config.max_length, seed)


def _dataset(requests: TrainingRequests, workers: int) -> ray.data.Dataset:
    """Rows (user, time, truth), in at least one block a worker."""
    truth = pa.LargeListArray.from_arrays(pa.array(requests.start), pa.array(requests.item))
    table = pa.table({"user": requests.user, "time": requests.time, "truth": truth})
    size = -(-table.num_rows // (workers * 2))
    return ray.data.from_arrow([table.slice(first, size) for first in range(0, table.num_rows, size)]).materialize()


def _scaling(workers: int, gpus: float) -> ScalingConfig:
    resources = {"CPU": 1.0, "GPU": gpus} if gpus else {"CPU": 1.0}
    return ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources)
