"""Texts to unit vectors with a pretrained language model: v = f_LM(text)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from timerec.encoder.language_model import Pooling, Precision, load
from timerec.schema import DataError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CPU_TOKENS = 768  # padded tokens of a forward pass on the CPU: larger ones fall out of its caches
_CHARS_PER_TOKEN = 32  # a text is cut here before it is tokenised, so that a megabyte costs no more than a page

Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One unit vector a text from its token vectors, in float32.

    Args:
        hidden: [n, L, D].
        mask: [n, L], 1 for real tokens; padding may be on either side.
        pooling: mean over the real tokens, or the last real token.

    Returns:
        [n, D], L2-normalised; zero for a text without tokens.
    """
    hidden, mask = hidden.float(), mask.float()
    if pooling == "mean":
        pooled = (hidden * mask[..., None]).sum(1)  # its length does not matter: it is normalised
    else:
        places = torch.arange(mask.shape[1], device=mask.device, dtype=mask.dtype)
        last = (places * mask).argmax(1)
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), last] * mask.amax(1)[:, None]
    return torch.nn.functional.normalize(pooled, dim=1)


def forward_arguments(model: torch.nn.Module, pooling: Pooling) -> Callable[[torch.Tensor], dict[str, Any]]:
    """Further arguments of the model's forward, from the mask.

    Decoders get positions counted from the first real token, so that padding on the left does not shift them, and keep no
    cache of keys; encoders count by themselves.
    """
    accepted = inspect.signature(model.forward).parameters

    def arguments(mask: torch.Tensor) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if pooling == "last" and "position_ids" in accepted:
            extra["position_ids"] = (mask.long().cumsum(1) - 1).clamp(min=0)
        if "use_cache" in accepted:
            extra["use_cache"] = False
        return extra

    return arguments


def tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids of all texts end to end, and where each begins.

    Returns:
        ids int64 [T], offsets int64 [n + 1]: text k is ids[offsets[k]:offsets[k + 1]].
    """
    clipped = [text[: max_length * _CHARS_PER_TOKEN] for text in texts]
    lists = tokenizer(clipped, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    ids = np.fromiter(chain.from_iterable(lists), dtype=np.int64, count=int(lengths.sum()))
    return ids, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])


def pad(
    ids: NDArray[np.int64], offsets: NDArray[np.int64], rows: NDArray[np.int64], fill: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of a ragged table of tokens, padded on the right to their longest.

    Returns:
        input_ids int64 [n, L] and attention_mask int64 [n, L], L at least 1.
    """
    lengths = offsets[rows + 1] - offsets[rows]
    places = np.arange(max(1, int(lengths.max(initial=0))))
    real = places < lengths[:, None]
    source = np.where(real, offsets[rows][:, None] + places, 0)
    table = np.where(real, ids[source] if len(ids) else fill, fill)
    return torch.from_numpy(table.astype(np.int64)), torch.from_numpy(real.astype(np.int64))


def padding_token(tokenizer: Any) -> int:
    """Id that fills up a batch; GPT-2 has no padding token, and under the mask any other does as well."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def encode_sorted(
    forward: Forward, tokenizer: Any, texts: Sequence[str], dim: int, max_length: int, batch_size: int, device: str = "cpu"
) -> NDArray[np.float32]:
    """Vectors of texts, in batches of similar length so that little is padded.

    Args:
        forward: (input_ids, attention_mask) to unit vectors [n, D].

    Returns:
        float32 [n, D] in the order of `texts`; zero rows for blank texts.
    """
    out = np.zeros((len(texts), dim), dtype=np.float32)
    if not texts:
        return out
    ids, offsets = tokenize(tokenizer, texts, max_length)
    lengths = np.diff(offsets)
    blank = np.fromiter((not text.strip() for text in texts), dtype=bool, count=len(texts))
    order = np.argsort(lengths, kind="stable")
    order = order[~blank[order] & (lengths[order] > 0)]
    fill = padding_token(tokenizer)
    start = 0
    while start < len(order):
        size = batch_size
        if device == "cpu":  # in ascending order, the first text bounds the batch from above well enough
            size = min(size, max(8, _CPU_TOKENS // int(lengths[order[start]])))
        rows = order[start : start + size]
        input_ids, mask = pad(ids, offsets, rows, fill)
        out[rows] = forward(input_ids.to(device), mask.to(device)).float().cpu().numpy()
        start += size
    return out


class TextEncoder:
    """A frozen language model that turns texts into unit vectors.

    Args:
        name: 'minilm' (packaged) or the directory of a Hugging Face encoder or decoder.
        pooling: auto, mean (over tokens that are not padding) or last (token); auto by the architecture.
        max_length: tokens of a text that are read.
        precision: of weights and arithmetic. bf16 is about three times as fast as fp32 on a CPU that has it, at a cosine
            above 0.9999; vectors leave as float32 in any case.
        device: cpu or cuda.

    Raises:
        DataError: the directory is not a model, lacks weights or a tokenizer, or `precision` is unknown.
    """

    def __init__(
        self,
        name: str = "minilm",
        pooling: str = "auto",
        max_length: int = 32,
        precision: Precision = "bf16",
        device: str = "cpu",
    ) -> None:
        if precision not in _DTYPES:
            raise DataError(f"encoder precision is '{precision}': choose one of {', '.join(_DTYPES)}")
        loaded = load(name, pooling, max_length)
        self.name, self.device, self.precision = name, device, precision
        self.pooling, self.dim, self.max_length = loaded.pooling, loaded.dim, loaded.max_length
        self._tokenizer = loaded.tokenizer
        self._model = loaded.model.to(device=device, dtype=_DTYPES[precision])
        self._arguments = forward_arguments(self._model, self.pooling)

    def encode(self, texts: Sequence[str], batch_size: int = 128) -> NDArray[np.float32]:
        """Vectors of texts.

        Args:
            batch_size: texts in a forward pass, at most; on the CPU passes are also kept small enough for its caches.

        Returns:
            float32 [n, dim], L2-normalised; zero rows for blank texts.
        """
        with torch.inference_mode():
            return encode_sorted(
                self._forward, self._tokenizer, texts, self.dim, self.max_length, batch_size, self.device
            )

    def _forward(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self._model(input_ids=input_ids, attention_mask=mask, **self._arguments(mask)).last_hidden_state
        return pool(hidden, mask, self.pooling)
