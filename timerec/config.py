"""Settings of a run: one pydantic model, its domain presets, and `key=value` overrides.

A setting whose default is `auto` is decided from the data, `encoder.precision` from the device; the decision is written to the
run's manifest and shown in the report.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from timerec.schema import DataError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


def _word(value: Any) -> Any:
    """YAML reads yes and no as booleans."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


Choice = Annotated[Literal["auto", "yes", "no"], BeforeValidator(_word)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Source = Literal["time", "habit", "momentum", "forecast", "sequence", "text", "category", "attributes"]


class DataConfig(_Section):
    """How the log is read and split."""

    step: Literal["auto", "hour", "day", "week"] = Field("auto", description="step of the item series")
    repeats: Choice = Field("auto", description="may an item be recommended to who already has it")
    event_weights: dict[str, Weight] = Field(default_factory=dict, description="weight of each kind of event; others weigh 1")
    val_quantile: float = Field(0.8, gt=0, lt=1, description="quantile of event times at which validation begins")
    test_quantile: float = Field(0.9, gt=0, lt=1, description="quantile of event times at which test begins")
    shards: int = Field(0, ge=0, description="user shards; 0: one for each million events, at least 2")


class EncoderConfig(_Section):
    """The language model that reads item texts."""

    text: str = Field("minilm", description="'minilm' (packaged), 'none', or the directory of a Hugging Face model")
    pooling: Literal["auto", "mean", "last"] = Field("auto", description="auto: mean for encoders, last token for decoders")
    tuning: Literal["frozen", "lora"] = Field("frozen", description="how the language model takes part in fine-tuning")
    lora_rank: int = Field(8, ge=1, description="rank of the adapters")
    max_length: int = Field(32, ge=4, le=512, description="tokens of a text that are read")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="arithmetic of the frozen model; auto: bf16 on GPUs and on CPUs that compute in it, else fp32"
    )
    batch_size: int = Field(128, ge=1, description="texts read at once, at most")
    cache_dir: str = Field("", description="folder of cached vectors; empty: inside the user's cache directory")


class ForecasterConfig(_Section):
    """The forecaster of item series."""

    kind: Literal["gru", "lstm", "arima", "ets", "theta", "tsb", "croston", "auto", "none"] = Field(
        "gru", description="method; auto: best WAPE before validation of gru, lstm, tsb, croston; none: trend and period only"
    )
    horizons: int = Field(4, ge=1, le=24, description="steps ahead")
    members: int = Field(1, ge=1, le=16, description="networks side by side that are averaged")
    hidden: int = Field(64, ge=8, description="size of the recurrent state")
    epochs: int = Field(20, ge=1, description="passes over the series, at most")
    learning_rate: float = Field(3e-3, gt=0, description="of AdamW")
    batch_size: int = Field(512, ge=1, description="series a step, over all workers")


class FusionConfig(_Section):
    """The joint network."""

    kind: Literal["concat", "gated"] = Field("concat", description="how the groups of inputs are joined")
    width: int = Field(64, ge=8, description="size of user and item vectors")
    hidden: int = Field(128, ge=8, description="size of the head's first hidden layer")
    history: int = Field(50, ge=1, description="latest events that the history encoder reads")
    layers: int = Field(1, ge=0, description="transformer layers of the history encoder; 0 leaves it out")
    heads: int = Field(4, ge=1, description="attention heads; they divide width")
    dropout: float = Field(0.1, ge=0, lt=1, description="in the history encoder")
    item_ids: Choice = Field("auto", description="learn a vector for each item id")
    without: list[Source] = Field(
        default_factory=list,
        description="left out: time (every signal of when), habit, momentum, forecast, sequence, text, category, attributes",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> FusionConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self


class TrainConfig(_Section):
    """Fine-tuning of the joint model."""

    requests: int = Field(
        0,
        ge=0,
        description="drawn an epoch, twice as many in the last one of a large log; 0: from the data's size",
    )
    epochs: int = Field(0, ge=0, description="draws of so many requests; 0: from the data's size")
    batch_size: int = Field(64, ge=1, description="requests a step, over all workers")
    learning_rate: float = Field(
        2e-3, gt=0, description="of AdamW, at its highest; four times as much for dense matrices, by Muon"
    )
    weight_decay: float = Field(0.01, ge=0, description="on matrices, a step and times their learning rate")
    clip: float = Field(1.0, gt=0, description="largest norm of a gradient")
    candidates: int = Field(96, ge=8, description="own candidates that are ranked in training, a sample of a request's")
    negatives: int = Field(48, ge=2, description="drawn negatives a request: half evenly, half by popularity")
    recency: float = Field(0.25, gt=0, description="half-life of the request sampling, as a share of the training span")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="arithmetic of the network")
    patience: int = Field(2, ge=1, description="epochs without a better validation NDCG@10 before stopping")
    val_requests: int = Field(1500, ge=10, description="validation requests judged after each epoch")
    seed: int = Field(17, description="of draws, initial weights and order")


class EvaluateConfig(_Section):
    """How the model is judged."""

    k: int = Field(10, ge=1, description="length of the judged lists")
    requests: int = Field(5000, ge=1, description="requests sampled from each split")
    seed: int = Field(17, description="of the sampled requests")
    bootstrap: int = Field(1000, ge=10, description="resamples of users behind an interval")
    baselines: list[str] = Field(default_factory=list, description="own baselines beside the standard ones, as module:function")
    peers: list[Literal["als", "lightgbm", "sasrec"]] = Field(
        default_factory=list,
        description="learnt systems to judge beside it; they need `pip install 'timerec[peers]'`, and sasrec `evaluate.rectools`",
    )
    rectools: str = Field("", description="Python of an environment with RecTools, for the peer sasrec (`make rectools`)")


class ClusterConfig(_Section):
    """Where it runs."""

    address: str = Field("", description="Ray address; empty: RAY_ADDRESS, or a private local Ray")
    workers: int = Field(0, ge=0, description="Ray Train workers; 0: one a GPU, or one a CPU core up to 2")
    gpus_per_worker: float = Field(0, ge=0, description="0: CPU and gloo; otherwise nccl")
    max_failures: int = Field(2, ge=0, description="worker deaths survived by a training stage")


class Config(_Section):
    """All settings of a run."""

    preset: Literal["", "ecommerce", "news", "video", "music", "travel"] = ""
    data: DataConfig = Field(default_factory=DataConfig)
    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    forecaster: ForecasterConfig = Field(default_factory=ForecasterConfig)
    fusion: FusionConfig = Field(default_factory=FusionConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)


# What a domain knows beforehand (docs/presets.md says why). Everything else is measured on the data.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "ecommerce": {"data": {"step": "week", "event_weights": {"view": 0.2, "cart": 0.5, "purchase": 1.0}}},
    "news": {"data": {"step": "hour", "event_weights": {"view": 1.0, "like": 2.0, "bookmark": 2.0}}},
    "video": {"data": {"step": "day", "repeats": "no", "event_weights": {"started": 0.3, "watched": 1.0, "rated": 1.0}}},
    "music": {"data": {"step": "day", "repeats": "yes", "event_weights": {"play": 1.0, "skip": 0.0}}},
    "travel": {"data": {"step": "week", "event_weights": {"search": 0.2, "click": 0.3, "book": 1.0}}},
}


def load_config(path: str | Path | None = None, preset: str = "", overrides: list[str] | None = None) -> Config:
    """Preset, then file (YAML or JSON), then `section.key=value` overrides, the later ones winning.

    Raises:
        DataError: a setting is unknown or out of range; the sentence names it.
    """
    tree: dict[str, Any] = {}
    from_file = _read(Path(path)) if path else {}
    preset = preset or str(from_file.get("preset", ""))
    if preset:
        if preset not in PRESETS:
            raise DataError(f"unknown preset '{preset}': choose one of {', '.join(PRESETS)}")
        _merge(tree, copy.deepcopy(PRESETS[preset]))
        tree["preset"] = preset
    _merge(tree, from_file)
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise DataError(f"--set {text}: write it as section.key=value, for example train.epochs=3")
        branch = tree
        *parents, leaf = key.strip().split(".")
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = yaml.safe_load(value)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"setting {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        tree = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML or JSON settings ({error})") from None
    if not isinstance(tree, dict):
        raise DataError(f"{path}: expected a mapping of sections such as 'train:' with settings below them")
    return tree


def _merge(base: dict[str, Any], extra: dict[str, Any]) -> None:
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = dict(value) if isinstance(value, dict) else value
