"""The language model as a trainable part of the joint model: frozen weights with LoRA adapters (Hu et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import peft
import torch
from numpy.typing import NDArray
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as TARGETS
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from timerec.config import EncoderConfig
from timerec.encoder.language_model import LoadedModel, load
from timerec.encoder.pooling import PooledModel
from timerec.encoder.text import encode_sorted
from timerec.encoder.tokens import pad, padding_token, tokenize
from timerec.schema import DataError

_ALL = "all-linear"  # for kinds of models of which peft knows no better


class TrainableEncoder(PooledModel):
    """A language model whose adapters learn; forward(input_ids, attention_mask) gives unit vectors [n, dim].

    Attributes:
        dim: length of a vector.
        max_length: tokens of a text that are read.
    """

    def __init__(self, adapted: nn.Module, loaded: LoadedModel) -> None:
        super().__init__(adapted, loaded.pooling)
        self.dim, self.max_length = loaded.dim, loaded.max_length
        self._tokenizer = loaded.tokenizer

    def tokenize(self, texts: Sequence[str], max_length: int | None = None) -> dict[str, Tensor]:
        """Arguments of forward: input_ids and attention_mask, int64 [n, L], padded on the right to the longest text.

        A blank text has no tokens, and its vector is zero.
        """
        ids, offsets = tokenize(self._tokenizer, texts, min(max_length or self.max_length, self.max_length))
        input_ids, mask = pad(ids, offsets, np.arange(len(texts)), padding_token(self._tokenizer))
        return {"input_ids": input_ids, "attention_mask": mask}

    def encode(self, texts: Sequence[str], batch_size: int = 128) -> NDArray[np.float32]:
        """Vectors of texts with the adapters as they are, without gradients or dropout: float32 [n, dim]."""
        training = self.training
        self.eval()
        try:
            device = next(self.parameters()).device.type
            return encode_sorted(self, self._tokenizer, texts, self.dim, self.max_length, batch_size, device)
        finally:
            self.train(training)


def trainable_encoder(config: EncoderConfig, checkpointing: bool = False) -> TrainableEncoder:
    """The model of `config.text` with LoRA adapters of rank `config.lora_rank`; only these require a gradient.

    Adapters go to the query and value projections of BERT, the joint projection of GPT-2, and to what peft recommends
    for other kinds of models, or else to every linear layer. They begin as the identity: the first vectors are those
    of the pretrained model.

    Args:
        checkpointing: compute activations again in the backward pass instead of keeping them: less memory, more time.

    Raises:
        DataError: the model is unusable (see `language_model.load`), or cannot be checkpointed.
    """
    loaded = load(config.text, config.pooling, config.max_length)
    model: Any = loaded.model
    known = TARGETS.get(model.config.model_type)
    settings = peft.LoraConfig(
        r=config.lora_rank,
        lora_alpha=2 * config.lora_rank,
        lora_dropout=0.0,
        target_modules=list(known) if known else _ALL,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),  # GPT-2 stores weights transposed
    )
    if checkpointing:
        if not model.supports_gradient_checkpointing:
            raise DataError(f"encoder.text: {config.text} cannot be checkpointed: train it without gradient checkpointing")
        # the reentrant kind would need inputs that require a gradient, and token ids have none
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return TrainableEncoder(peft.get_peft_model(model, settings), loaded)


def adapter_state(module: TrainableEncoder) -> dict[str, Tensor]:
    """Tensors of the adapters alone, on the CPU, each with its own storage: what a checkpoint or bundle keeps."""
    state = peft.get_peft_model_state_dict(module.language_model, save_embedding_layers=False)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def load_adapter_state(module: TrainableEncoder, state: dict[str, Tensor]) -> None:
    """Set the adapters to a state from `adapter_state`.

    Raises:
        DataError: the state belongs to another model or rank.
    """
    own = adapter_state(module)
    wrong = sorted(
        name for name in own.keys() | state.keys() if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        raise DataError(
            f"the adapters do not fit the language model (first difference: {wrong[0]}): "
            "use the encoder.text and encoder.lora_rank they were trained with"
        )
    with torch.no_grad():
        peft.set_peft_model_state_dict(module.language_model, state)
