"""Texts to token ids, and ragged token ids to padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

_CHARS_PER_TOKEN = 32  # a text is cut here before it is tokenised, so that a megabyte costs no more than a page


def tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids of all texts end to end, and where each begins.

    Returns:
        ids int64 [T], offsets int64 [n + 1]: text k is ids[offsets[k]:offsets[k + 1]], empty for a blank text.
    """
    clipped = [text[: max_length * _CHARS_PER_TOKEN] for text in texts]
    if not clipped:
        return np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    lists = tokenizer(clipped, truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
    # a blank text has no tokens at all, not the special ones alone
    lists = [ids if text.strip() else [] for ids, text in zip(lists, clipped, strict=True)]
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
    table = np.full(real.shape, fill, dtype=np.int64)
    table[real] = ids[(offsets[rows][:, None] + places)[real]]
    return torch.from_numpy(table), torch.from_numpy(real.astype(np.int64))


def padding_token(tokenizer: Any) -> int:
    """Id that fills up a batch; GPT-2 has no padding token, and under the mask any other does as well."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0
