"""The cache of text vectors: what goes in comes out, damage is survived."""

from __future__ import annotations

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from timerec.encoder.cache import VectorCache, default_root, text_keys


def vectors_of(texts: list[str]) -> np.ndarray:
    digests = [hashlib.md5(text.encode()).digest()[:4] for text in texts]
    return np.stack([np.frombuffer(digest, np.uint8) for digest in digests]).astype(np.float32)


def filled(root: Path, texts: list[str]) -> VectorCache:
    cache = VectorCache(root, "model", 4)
    cache.append(text_keys(texts), vectors_of(texts))
    return cache


def test_keys_are_sha256() -> None:
    assert text_keys(["tea", "ü\ud800"])[0] == hashlib.sha256(b"tea").digest()
    assert text_keys([]).shape == (0,)


def test_found_vectors_are_exact_and_the_others_zero(tmp_path: Path) -> None:
    texts = [f"text {k}" for k in range(500)]
    cache = filled(tmp_path, texts[:200])
    cache.append(text_keys(texts[200:300]), vectors_of(texts[200:300]))
    order = np.random.default_rng(0).permutation(500)
    found, vectors = cache.lookup(text_keys([texts[k] for k in order]))
    assert np.array_equal(found, order < 300)
    expected = vectors_of([texts[k] for k in order]) * (order < 300)[:, None]
    assert vectors.dtype == np.float32 and np.array_equal(vectors, expected)


def test_keys_that_end_in_zero_bytes_stay_apart(tmp_path: Path) -> None:
    keys = np.array([b"\1" * 31 + b"\0", b"\1" * 30 + b"\0\0", b"\0" * 32, b"\1" * 32], dtype="S32")
    cache = VectorCache(tmp_path, "model", 1)
    cache.append(keys, np.arange(4, dtype=np.float32)[:, None])
    found, vectors = cache.lookup(keys[::-1])
    assert found.all() and vectors[:, 0].tolist() == [3, 2, 1, 0]


def test_an_empty_or_missing_cache_knows_nothing(tmp_path: Path) -> None:
    found, vectors = VectorCache(tmp_path / "none", "model", 4).lookup(text_keys(["tea"]))
    assert not found.any() and vectors.shape == (1, 4) and not vectors.any()
    assert filled(tmp_path, ["tea"]).lookup(text_keys([]))[1].shape == (0, 4)


def test_another_fingerprint_is_another_cache(tmp_path: Path) -> None:
    filled(tmp_path, ["tea"])
    assert not VectorCache(tmp_path, "other", 4).lookup(text_keys(["tea"]))[0].any()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_part_is_passed_over_with_a_warning(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = filled(tmp_path, ["tea"])
    part = cache.append(text_keys(["jar", "box"]), vectors_of(["jar", "box"]))
    data = part.read_bytes()
    if damage == "foreign":  # whole, but of another shape
        part.unlink()
        part = VectorCache(tmp_path, "model", 9).append(text_keys(["jar"]), np.ones((1, 9), np.float32))
    else:
        flipped = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
        part.write_bytes({"truncated": data[:-10], "flipped": flipped, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        found, _ = cache.lookup(text_keys(["tea", "jar", "box"]))
    assert found.tolist() == [True, False, False]
    assert part.name in caplog.text
    cache.append(text_keys(["jar", "box"]), vectors_of(["jar", "box"]))  # heals it
    assert cache.lookup(text_keys(["tea", "jar", "box"]))[0].all()


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(tmp_path, ["tea"])
    before = sorted(cache.folder.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        cache.append(text_keys(["jar"]), vectors_of(["jar"]))
    assert sorted(cache.folder.iterdir()) == before


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    groups = [[f"{group} {k}" for k in range(40)] + ["shared"] for group in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda texts: filled(tmp_path, texts), groups))
    everything = [text for group in groups for text in group]
    found, vectors = VectorCache(tmp_path, "model", 4).lookup(text_keys(everything))
    assert found.all() and np.array_equal(vectors, vectors_of(everything))
    assert not list((tmp_path / "model").glob("*.tmp"))


def test_default_root_is_in_the_users_cache_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_root() == Path("/somewhere/timerec/vectors")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path.home() / ".cache/timerec/vectors"
