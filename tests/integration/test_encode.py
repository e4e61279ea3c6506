"""The encode stage on a local Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tiny_models import HIDDEN, tiny_bert
from timerec.config import EncoderConfig
from timerec.encoder.cache import VectorCache, text_keys
from timerec.encoder.language_model import fingerprint
from timerec.encoder.text import TextEncoder
from timerec.schema import DataError

pytestmark = pytest.mark.usefixtures("ray_local")

WORDS = ["red", "green", "blue", "apple", "pear", "plum", "tea", "jar", "box"]


def write_items(prepared: Path, titles: list[str], order: np.ndarray | None = None) -> None:
    prepared.mkdir(parents=True, exist_ok=True)
    blank = [""] * len(titles)
    table = pa.table({"item": pa.array(range(len(titles)), pa.int32()), "title": titles, "category": blank, "text": blank})
    pq.write_table(table if order is None else table.take(pa.array(order)), prepared / "items.parquet")


def run(root: Path, config: EncoderConfig, actors: int = 2) -> tuple[dict[str, Any], np.ndarray]:
    from timerec.pipeline.encode import encode

    manifest = encode(root / "prepared", root / "out", config, actors)
    assert json.loads((root / "out" / "manifest.json").read_text()) == manifest
    assert sorted(path.name for path in (root / "out").iterdir()) == ["manifest.json", "vectors.npy"]
    return manifest, np.load(root / "out" / "vectors.npy")


@pytest.fixture
def config(tmp_path: Path) -> EncoderConfig:
    return EncoderConfig(text=str(tiny_bert(tmp_path / "bert")), precision="fp32", cache_dir=str(tmp_path / "cache"))


def test_each_distinct_text_is_encoded_once_and_lands_in_its_rows(tmp_path: Path, config: EncoderConfig) -> None:
    rng = np.random.default_rng(0)
    distinct = [" ".join(words) for words in rng.choice(WORDS, (2500, 6))] + [""]
    titles = [distinct[k] for k in rng.integers(0, len(distinct), 4000)] + ["", "tea"]
    write_items(tmp_path / "prepared", titles, rng.permutation(len(titles)))  # rows of the file in any order
    manifest, vectors = run(tmp_path, config)
    unique = sorted(set(titles) - {""})
    assert (manifest["items"], manifest["dim"]) == (len(titles), HIDDEN)
    assert manifest["with_text"] == sum(map(bool, titles))
    assert (manifest["unique_texts"], manifest["cached"], manifest["encoded"]) == (len(unique), 0, len(unique))
    expected = TextEncoder(config.text, precision="fp32").encode(titles)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=5e-6)

    again, same = run(tmp_path, config)
    assert (again["cached"], again["encoded"]) == (len(unique), 0)
    np.testing.assert_array_equal(same, vectors)


def test_only_new_texts_are_encoded_and_a_damaged_part_is_new(tmp_path: Path, config: EncoderConfig) -> None:
    write_items(tmp_path / "prepared", ["red tea", "jar", "jar"])
    fresh = TextEncoder(config.text, precision="fp32").encode(["red tea", "jar"])
    mark = fingerprint(config.text, config.pooling, config.max_length, "fp32")
    cache = VectorCache(Path(config.cache_dir), mark, HIDDEN)
    cache.append(text_keys(["jar"]), -fresh[1:])  # told from a fresh one by its sign
    part = cache.append(text_keys(["red tea"]), -fresh[:1])
    part.write_bytes(part.read_bytes()[:-4])
    manifest, vectors = run(tmp_path, config, actors=1)
    assert (manifest["unique_texts"], manifest["cached"], manifest["encoded"]) == (2, 1, 1)
    assert manifest["fingerprint"] == mark
    np.testing.assert_allclose(vectors, [fresh[0], -fresh[1], -fresh[1]], atol=5e-6)


@pytest.mark.parametrize("text", ["none", "model"])
def test_without_text_there_are_no_vectors(tmp_path: Path, config: EncoderConfig, text: str) -> None:
    write_items(tmp_path / "prepared", ["red tea", "jar"] if text == "none" else ["", " "])
    manifest, vectors = run(tmp_path, config.model_copy(update={"text": "none"}) if text == "none" else config)
    assert manifest["dim"] == 0 and manifest["encoded"] == 0
    assert vectors.shape == (2, 0) and vectors.dtype == np.float32


def test_a_fault_of_the_weights_reaches_the_user_as_a_sentence(tmp_path: Path, config: EncoderConfig) -> None:
    write_items(tmp_path / "prepared", ["red tea", "jar"])
    weights = Path(config.text) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="weights in .* cannot be loaded"):
        run(tmp_path, config, actors=1)


def test_faults_of_the_surroundings_are_sentences(tmp_path: Path, config: EncoderConfig) -> None:
    with pytest.raises(DataError, match=r"items\.parquet: cannot be read"):
        run(tmp_path, config)
    write_items(tmp_path / "prepared", ["red tea", "jar", "box"], np.array([0, 2]))
    with pytest.raises(DataError, match="column 'item' does not count"):
        run(tmp_path, config)
    write_items(tmp_path / "prepared", ["red tea"])
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match=r"encoder\.cache_dir"):
        run(tmp_path, config, actors=1)
    (tmp_path / "cache").unlink()
    shutil.rmtree(config.text)
    with pytest.raises(DataError, match="not the directory of a Hugging Face model"):
        run(tmp_path, config)
