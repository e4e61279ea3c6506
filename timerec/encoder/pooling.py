"""From the token vectors of a language model to one unit vector a text."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from timerec.encoder.language_model import Pooling, is_decoder


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """One unit vector a text, in float32.

    Args:
        hidden: [n, L, D] token vectors.
        mask: [n, L], 1 for real tokens; padding may be on either side.
        pooling: mean over the real tokens, or the last real token.

    Returns:
        [n, D], L2-normalised; zero for a text without tokens.
    """
    hidden, real = hidden.float(), mask.bool()
    if pooling == "mean":
        pooled = (hidden * real[..., None]).sum(1)  # the number of tokens goes with the length, which is made one
    else:
        last = (torch.arange(mask.shape[1], device=mask.device) * real).argmax(1)
        pooled = hidden[torch.arange(len(hidden), device=hidden.device), last] * real.any(1)[:, None]
    return nn.functional.normalize(pooled, dim=1)


class PooledModel(nn.Module):
    """A language model that answers with one vector a text.

    Args:
        language_model: any Hugging Face model, or an adapter around one, whose output has `last_hidden_state`.
        pooling: see `pool`.
    """

    def __init__(self, language_model: nn.Module, pooling: Pooling) -> None:
        super().__init__()
        self.language_model = language_model
        self.pooling: Pooling = pooling
        inner: Any = language_model
        if hasattr(inner, "get_base_model"):  # the arguments of an adapter's forward say nothing
            inner = inner.get_base_model()
        accepted = inspect.signature(inner.forward).parameters
        # encoders count positions by themselves, and not all of them from zero
        self._positions = is_decoder(inner.config) and "position_ids" in accepted
        self._fixed: dict[str, Any] = {"use_cache": False} if "use_cache" in accepted else {}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Unit vectors [n, D], float32.

        Args:
            input_ids: int64 [n, L].
            attention_mask: [n, L], 1 for real tokens; a row of zeros is a text without tokens, and its vector is zero.
        """
        further = dict(self._fixed)
        if self._positions:  # counted from the first real token, so that padding on the left shifts nothing
            further["position_ids"] = (attention_mask.long().cumsum(1) - 1).clamp(min=0)
        hidden = self.language_model(input_ids=input_ids, attention_mask=attention_mask, **further).last_hidden_state
        return pool(hidden, attention_mask, self.pooling)
