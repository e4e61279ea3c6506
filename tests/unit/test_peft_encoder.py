"""The trainable text encoder: adapters begin as the identity, learn alone, and travel by their state."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny_models import HIDDEN, tiny_bert, tiny_gpt2
from timerec.config import EncoderConfig
from timerec.encoder.peft import TrainableEncoder, adapter_state, load_adapter_state, trainable_encoder
from timerec.encoder.text import TextEncoder
from timerec.schema import DataError

TEXTS = ["red apple", "a jar of tea with the large green pear", "", "large box of red plum"]
MAKERS = {"bert": tiny_bert, "gpt2": tiny_gpt2}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EncoderConfig:
    directory = MAKERS[request.param](tmp_path_factory.mktemp(request.param))
    return EncoderConfig(text=str(directory), tuning="lora", lora_rank=4)


def train(module: TrainableEncoder, steps: int = 3) -> None:
    torch.manual_seed(1)
    target = torch.nn.functional.normalize(torch.randn(len(TEXTS), HIDDEN), dim=1)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.5)
    module.eval()  # no dropout: comparable
    for _ in range(steps):
        loss = -(module(**module.tokenize(TEXTS)) * target).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_untrained_vectors_are_those_of_the_frozen_encoder(config: EncoderConfig) -> None:
    module = trainable_encoder(config)
    frozen = TextEncoder(config.text, precision="fp32").encode(TEXTS)
    with torch.no_grad():
        vectors = module.eval()(**module.tokenize(TEXTS)).numpy()
    np.testing.assert_allclose(vectors, frozen, atol=2e-6)
    assert not vectors[2].any()
    np.testing.assert_allclose(module.encode(TEXTS, batch_size=2), frozen, atol=2e-6)


def test_only_adapters_learn_and_all_of_them(config: EncoderConfig) -> None:
    module = trainable_encoder(config)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    train(module)
    assert {name for name, p in module.named_parameters() if p.requires_grad} == {n for n in before if "lora_" in n}
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if "lora_" in name}
    targets = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in changed}
    assert targets in ({"query", "value"}, {"c_attn"})
    assert all(tensor.shape[0] == 4 for name, tensor in adapter_state(module).items() if "lora_A" in name)


def test_state_carries_the_training_over(config: EncoderConfig) -> None:
    trained = trainable_encoder(config)
    start = trained.encode(TEXTS)
    train(trained)
    state = adapter_state(trained)
    assert all("lora_" in name for name in state)
    assert sum(t.numel() for t in state.values()) == sum(p.numel() for p in trained.parameters() if p.requires_grad)
    after = trained.encode(TEXTS)
    assert np.abs(after - start).max() > 1e-3
    fresh = trainable_encoder(config)
    load_adapter_state(fresh, state)
    np.testing.assert_array_equal(fresh.encode(TEXTS), after)
    train(trained)  # the state is a copy
    load_adapter_state(fresh, state)
    np.testing.assert_array_equal(fresh.encode(TEXTS), after)


def test_a_foreign_state_is_refused(config: EncoderConfig) -> None:
    module = trainable_encoder(config)
    state = adapter_state(trainable_encoder(config.model_copy(update={"lora_rank": 2})))
    with pytest.raises(DataError, match=r"encoder\.lora_rank"):
        load_adapter_state(module, state)
    state = adapter_state(module)
    state.popitem()
    with pytest.raises(DataError, match="do not fit"):
        load_adapter_state(module, state)


def test_checkpointing_changes_no_gradient(config: EncoderConfig) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(2)
        module = trainable_encoder(config, checkpointing=checkpointing)
        for layer in module.modules():  # training mode, which turns checkpointing on, without its noise
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        module.train()
        for _, parameter in sorted(module.named_parameters()):
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1)
        module(**module.tokenize(TEXTS))[:, 0].sum().backward()
        gradients.append([p.grad for _, p in sorted(module.named_parameters()) if p.requires_grad])
        assert any(getattr(layer, "gradient_checkpointing", False) for layer in module.modules()) == checkpointing
    assert all(gradient is not None and gradient.any() for gradient in gradients[0])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_encode_leaves_the_mode_as_it_was(config: EncoderConfig) -> None:
    module = trainable_encoder(config).train()
    first, second = module.encode(TEXTS), module.encode(TEXTS)
    np.testing.assert_array_equal(first, second)  # no dropout
    assert module.training
    module.eval()
    module.encode(TEXTS)
    assert not module.training


def test_tokenize_pads_on_the_right_and_cuts(config: EncoderConfig) -> None:
    module = trainable_encoder(config)
    arguments = module.tokenize(TEXTS, max_length=5)
    mask = arguments["attention_mask"]
    assert mask.shape == arguments["input_ids"].shape == (4, 5)
    assert mask.sum(1).tolist() == ([4, 5, 0, 5] if "bert" in config.text else [2, 5, 0, 5])
    assert bool((mask.diff(dim=1) <= 0).all())
