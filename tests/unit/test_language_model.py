"""Directories of language models: what is refused, and what changes the fingerprint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tiny_models import HIDDEN, tiny_bert, tiny_gpt2
from timerec.encoder.language_model import fingerprint, load, locate, resolve_pooling, vector_dim
from timerec.schema import DataError


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return tiny_bert(tmp_path / "bert")


def change(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_packaged_model_is_found_and_measured() -> None:
    assert (locate("minilm") / "model.safetensors").is_file()
    assert vector_dim("minilm") == 384


def test_dim_comes_from_the_configuration(bert: Path, tmp_path: Path) -> None:
    assert vector_dim(str(bert)) == HIDDEN
    assert vector_dim(str(tiny_gpt2(tmp_path / "gpt2"))) == HIDDEN


@pytest.mark.parametrize(
    ("kind", "is_decoder", "expected"),
    [("bert", False, "mean"), ("bert", True, "last"), ("roberta", False, "mean"), ("gpt2", False, "last"),
     ("llama", False, "last"), ("modernbert", False, "mean")],
)  # fmt: skip
def test_auto_pooling_follows_the_architecture(kind: str, is_decoder: bool, expected: str) -> None:
    settings = SimpleNamespace(model_type=kind, is_decoder=is_decoder)
    assert resolve_pooling("auto", settings) == expected
    assert resolve_pooling("mean", settings) == "mean"


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "no config.json"), ("model.safetensors", "no weights"), ("tokenizer.json", "no tokenizer")],
)
def test_missing_files_are_named(bert: Path, missing: str, message: str) -> None:
    (bert / missing).unlink()
    with pytest.raises(DataError, match=message) as caught:
        load(str(bert))
    assert str(bert) in str(caught.value)


def test_damaged_files_are_refused(bert: Path, tmp_path: Path) -> None:
    for name, content, message in [
        ("model.safetensors", b"\x08\x00", "weights in .* cannot be loaded"),
        ("tokenizer.json", b"{", "tokenizer in .* cannot be loaded"),
        ("config.json", b"{", "does not describe a model"),
    ]:
        broken = tmp_path / f"broken_{name}"
        shutil.copytree(bert, broken)
        (broken / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            load(str(broken))


def test_layers_without_weights_are_refused_rather_than_random(bert: Path) -> None:
    change(bert / "config.json", num_hidden_layers=3)
    with pytest.raises(DataError, match=r"lack encoder\.layer\.2"):
        load(str(bert))


def test_code_in_the_directory_and_encoder_decoders_are_refused(bert: Path) -> None:
    (bert / "mine.py").write_text("raise SystemExit('it ran')")
    change(bert / "config.json", model_type="mine", auto_map={"AutoConfig": "mine.C", "AutoModel": "mine.M"})
    with pytest.raises(DataError, match="does not describe a model"):
        load(str(bert))
    (bert / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(DataError, match="encoder-decoder"):
        load(str(bert))
    (bert / "config.json").write_text('{"model_type": "bert", "hidden_size": "wide"}')
    with pytest.raises(DataError, match="does not describe a model"):
        load(str(bert))


def test_fingerprint_follows_content_and_settings_but_not_the_place(bert: Path, tmp_path: Path) -> None:
    first = fingerprint(str(bert), "auto", 32, "bf16")
    shutil.copytree(bert, tmp_path / "copy")
    assert fingerprint(str(tmp_path / "copy"), "auto", 32, "bf16") == first
    assert fingerprint(str(bert), "mean", 32, "bf16") == first  # what auto comes to
    (bert / "README.md").write_text("words about the model")
    assert fingerprint(str(bert), "auto", 32, "bf16") == first
    others = {
        fingerprint(str(bert), "last", 32, "bf16"),
        fingerprint(str(bert), "auto", 16, "bf16"),
        fingerprint(str(bert), "auto", 32, "fp32"),
        fingerprint(str(tiny_bert(tmp_path / "seed", seed=1)), "auto", 32, "bf16"),
    }
    change(bert / "config.json", layer_norm_eps=0.5)
    others.add(fingerprint(str(bert), "auto", 32, "bf16"))
    assert len(others) == 5 and first not in others
