"""Texts to unit vectors with a pretrained language model: v = f_LM(text)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from timerec.encoder.language_model import load, resolve_precision
from timerec.encoder.pooling import PooledModel
from timerec.encoder.tokens import pad, padding_token, tokenize

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CPU_TOKENS = 768  # padded tokens of a forward pass on the CPU: larger ones fall out of its caches


def encode_sorted(
    forward: Callable[[Tensor, Tensor], Tensor],
    tokenizer: Any,
    texts: Sequence[str],
    dim: int,
    max_length: int,
    batch_size: int,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Vectors of texts, in batches of similar length so that little is padded.

    Args:
        forward: (input_ids, attention_mask) to vectors [n, D].
        batch_size: texts in a forward pass, at most; on the CPU a pass is also kept small enough for its caches.

    Returns:
        float32 [n, D] in the order of `texts`; zero rows for blank texts.
    """
    out = np.zeros((len(texts), dim), dtype=np.float32)
    ids, offsets = tokenize(tokenizer, texts, max_length)
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    fill = padding_token(tokenizer)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            size = batch_size
            if device == "cpu":  # the lengths ascend so slowly that the first is measure enough
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
        precision: of weights and arithmetic, auto by the device. bf16 is about three times as fast as fp32 on a CPU that has
            it, at a cosine above 0.9999; vectors leave as float32 in any case.
        device: cpu or cuda.

    Attributes:
        dim: length of a vector.
        pooling, max_length: as they were decided for this model.

    Raises:
        DataError: the directory is not a model, lacks weights or a tokenizer, or `precision` is unknown.
    """

    def __init__(
        self,
        name: str = "minilm",
        pooling: str = "auto",
        max_length: int = 32,
        precision: str = "auto",
        device: str = "cpu",
    ) -> None:
        arithmetic = _DTYPES[resolve_precision(precision, gpu=device != "cpu")]
        loaded = load(name, pooling, max_length)
        self.pooling, self.dim, self.max_length = loaded.pooling, loaded.dim, loaded.max_length
        self._tokenizer, self._device = loaded.tokenizer, device
        self._model = PooledModel(loaded.model, loaded.pooling).to(device=device, dtype=arithmetic).eval()

    def encode(self, texts: Sequence[str], batch_size: int = 128) -> NDArray[np.float32]:
        """Vectors of texts, float32 [n, dim], L2-normalised; zero rows for blank texts.

        Args:
            batch_size: texts in a forward pass, at most.
        """
        return encode_sorted(self._model, self._tokenizer, texts, self.dim, self.max_length, batch_size, device=self._device)
