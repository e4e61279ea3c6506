"""The language model's part in fine-tuning: some item texts of each batch are read with gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from timerec.encoder.tokens import pad, padding_token, tokenize

TEXTS_A_STEP = 32  # texts read with gradient a step; the others keep the vectors of the last refresh
REFRESH = 256  # texts read at once when all vectors are renewed


class LiveText:
    """Tokens of all item texts, and the draw of those that are read in a step."""

    def __init__(self, tokenizer: Any, texts: list[str], max_length: int, seed: int) -> None:
        unique, self._which = np.unique(np.array(texts, dtype=object).astype(str), return_inverse=True)
        self._ids, self._offsets = tokenize(tokenizer, [str(text) for text in unique], max_length)
        self._fill, self._seed = padding_token(tokenizer), seed
        self._empty = unique == ""
        self._with_text = np.array([text != "" for text in texts], bool)

    def sample(self, items: NDArray[np.int64], step: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Up to TEXTS_A_STEP of the `items` with a text: ascending indices [n], token ids [n, L], mask [n, L].

        Where no item has a text one is read all the same: data-parallel workers must all take part in every step.
        """
        having = items[self._with_text[items]]
        if not len(having):
            having = np.flatnonzero(self._with_text)[:1]
        rng = np.random.default_rng([self._seed, step])
        chosen = np.sort(rng.permutation(having)[:TEXTS_A_STEP]).astype(np.int64)
        ids, mask = pad(self._ids, self._offsets, self._which[chosen], self._fill)
        return torch.from_numpy(chosen).to(device), ids.to(device), mask.to(device)

    @torch.inference_mode()
    def refresh(self, language: nn.Module, rank: int, workers: int, device: torch.device) -> Tensor:
        """This worker's share of the renewed vectors [I, D]; the others' rows are zero, so that shares can be added."""
        language.eval()
        mine = np.flatnonzero(~self._empty)[rank::workers]
        parts = []
        for first in range(0, len(mine), REFRESH):
            ids, mask = pad(self._ids, self._offsets, mine[first : first + REFRESH], self._fill)
            parts.append(language(ids.to(device), mask.to(device)).float().cpu())
        found = torch.cat(parts) if parts else torch.zeros(0, 0)
        table = torch.zeros(len(self._empty), found.shape[1])
        table[torch.from_numpy(mine)] = found
        return table[torch.from_numpy(self._which)]
