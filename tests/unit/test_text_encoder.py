"""Text to vectors: pooling, padding, batching, precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from tests.tiny_models import HIDDEN, tiny_bert, tiny_gpt2
from timerec.encoder.language_model import Pooling, resolve_precision
from timerec.encoder.pooling import PooledModel, pool
from timerec.encoder.text import TextEncoder
from timerec.encoder.tokens import pad, tokenize
from timerec.schema import DataError

TEXTS = ["red apple", "a jar of tea with the large green pear and the small plum", "blue", "large box of red plum"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gpt2(tmp_path_factory.mktemp("gpt2"))


def one_by_one(directory: Path, last: bool) -> np.ndarray:
    """The textbook way: each text alone, no padding, float32."""
    model, tokenizer = AutoModel.from_pretrained(directory).eval(), AutoTokenizer.from_pretrained(directory)
    rows = []
    for text in TEXTS:
        with torch.inference_mode():
            hidden = model(input_ids=torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0]
        row = hidden[-1] if last else hidden.mean(0)
        rows.append((row / row.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_bert_is_mean_pooled_and_batches_change_nothing(bert: Path, batch_size: int) -> None:
    encoder = TextEncoder(str(bert), precision="fp32")
    assert (encoder.pooling, encoder.dim) == ("mean", HIDDEN)
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_size), one_by_one(bert, last=False), atol=2e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_gpt2_takes_the_last_token_without_a_padding_token(gpt2: Path, batch_size: int) -> None:
    encoder = TextEncoder(str(gpt2), precision="fp32")
    assert encoder.pooling == "last"
    np.testing.assert_allclose(encoder.encode(TEXTS, batch_size), one_by_one(gpt2, last=True), atol=2e-6)


def test_pooling_can_be_chosen(bert: Path) -> None:
    vectors = TextEncoder(str(bert), pooling="last", precision="fp32").encode(TEXTS)
    np.testing.assert_allclose(vectors, one_by_one(bert, last=True), atol=2e-6)
    with pytest.raises(DataError, match=r"encoder\.pooling is 'max'"):
        TextEncoder(str(bert), pooling="max")


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_padding_on_the_left_gives_a_decoder_the_same_vectors(gpt2: Path, pooling: Pooling) -> None:
    model = PooledModel(AutoModel.from_pretrained(gpt2).eval(), pooling)
    ids, offsets = tokenize(AutoTokenizer.from_pretrained(gpt2), TEXTS, 24)
    right_ids, right_mask = pad(ids, offsets, np.arange(len(TEXTS)), 0)
    lengths = np.diff(offsets)
    left_ids = torch.stack([row.roll(len(row) - int(n)) for row, n in zip(right_ids, lengths, strict=True)])
    left_mask = right_mask.flip(1)
    assert not torch.equal(left_mask, right_mask)
    with torch.inference_mode():
        right, left = model(right_ids, right_mask), model(left_ids, left_mask)
    torch.testing.assert_close(left, right, atol=2e-6, rtol=0)
    torch.testing.assert_close(right.norm(dim=1), torch.ones(len(TEXTS)))


def test_pool_ignores_padding_and_survives_texts_without_tokens() -> None:
    hidden = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], [[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    torch.testing.assert_close(pool(hidden, mask, "mean"), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    torch.testing.assert_close(pool(hidden, mask, "last"), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    left = torch.tensor([[0, 0, 1], [0, 1, 1]])
    torch.testing.assert_close(pool(hidden, left, "last"), torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))


def test_blank_texts_are_zero_rows_among_others(bert: Path, gpt2: Path) -> None:
    for directory in (bert, gpt2):
        encoder = TextEncoder(str(directory), precision="fp32")
        vectors = encoder.encode(["", TEXTS[0], "  \t"])
        assert not vectors[[0, 2]].any()
        np.testing.assert_allclose(vectors[1], encoder.encode(TEXTS[:1])[0], atol=2e-6)
        assert encoder.encode([]).shape == (0, HIDDEN)


def test_texts_are_cut_at_max_length(bert: Path) -> None:
    short, full = TextEncoder(str(bert), max_length=6, precision="fp32"), TextEncoder(str(bert), precision="fp32")
    assert full.max_length == 24  # the model has no more positions
    cut = " ".join(TEXTS[1].split()[:4])  # and two special tokens
    np.testing.assert_allclose(short.encode(TEXTS[1:2]), full.encode([cut]), atol=2e-6)
    np.testing.assert_allclose(short.encode(["red apple jar tea " * 300_000]), full.encode(["red apple jar tea"]), atol=2e-6)


def test_ragged_rows_are_padded_on_the_right() -> None:
    ids, offsets = np.array([5, 6, 7, 8, 9]), np.array([0, 2, 2, 5])
    table, mask = pad(ids, offsets, np.array([2, 1, 0]), 1)
    assert table.tolist() == [[7, 8, 9], [1, 1, 1], [5, 6, 1]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0]]


def test_packaged_model_in_bf16_is_near_fp32_and_knows_meaning() -> None:
    texts = ["apple juice 1 l", "orange juice", "car battery", "engine oil for cars", "fresh fruit, apples and pears"]
    full = TextEncoder("minilm", precision="fp32").encode(texts)
    half = TextEncoder("minilm", precision="bf16").encode(texts)
    assert half.dtype == np.float32
    assert (full * half).sum(1).min() >= 0.999
    assert np.abs(full - half).max() > 0  # bf16 it was
    np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, atol=1e-5)
    near = full @ full.T
    assert near[0, 1] > near[0, 2] and near[2, 3] > near[1, 3]
    with pytest.raises(DataError, match="precision is 'int8'"):
        TextEncoder("minilm", precision="int8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "gpu", "chosen"),
    [({"avx2": True, "avx512_bf16": False}, False, "fp32"), ({"amx_bf16": True}, False, "bf16"), ({"avx2": True}, True, "bf16")],
)
def test_auto_is_bf16_only_where_the_device_computes_in_it(monkeypatch, known, gpu, chosen) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert resolve_precision("auto", gpu=gpu) == chosen
    assert resolve_precision("fp16", gpu=gpu) == "fp16"


def test_a_torch_that_does_not_tell_gets_fp32(monkeypatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert resolve_precision("auto", gpu=False) == "fp32"
