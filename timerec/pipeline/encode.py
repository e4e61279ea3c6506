"""Stage 2, `encode`: item texts to vectors with a language model, on a pool of Ray actors."""

from __future__ import annotations

import json
import os
import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray.data
import torch
from numpy.typing import NDArray

from timerec.config import EncoderConfig
from timerec.data.faults import full_disk_is_data_error, is_full_disk
from timerec.encoder.cache import VectorCache, default_root, text_keys
from timerec.encoder.item_text import compose
from timerec.encoder.language_model import Precision, fingerprint, resolve_precision, vector_dim
from timerec.encoder.text import TextEncoder
from timerec.schema import Columns, DataError, Prepared

VECTORS = "vectors.npy"
NO_TEXT = "none"
_TASK_TEXTS = 1024  # texts of a Ray task: seconds of work, and pieces enough to keep every actor busy to the end
_PART_TEXTS = 8192  # texts of a cache part, written as soon as they are there: an interrupted run goes on from them
_COPY_ROWS = 65_536


class _Worker:
    """One actor of the pool: holds the model, encodes batches of texts.

    A fault of the model travels as a result: as an exception it would arrive wrapped beyond recognition.
    """

    def __init__(self, config: EncoderConfig, precision: Precision, device: str) -> None:
        if device == "cpu":
            torch.set_num_threads(1)  # threads of several actors on the same cores stand in each other's way
        self._batch_size, self._fault = config.batch_size, ""
        try:
            self._encoder = TextEncoder(config.text, config.pooling, config.max_length, precision, device)
        except DataError as error:
            self._fault = str(error)

    def __call__(self, batch: pa.Table) -> pa.Table:
        if self._fault:
            vectors = np.zeros((len(batch), 0), dtype=np.float32)
        else:
            vectors = self._encoder.encode(batch["text"].to_pylist(), self._batch_size)
        ends = np.arange(len(batch) + 1, dtype=np.int64) * vectors.shape[1]
        lists = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(vectors.reshape(-1), pa.float32()))
        return pa.table({"row": batch["row"], "vector": lists, "fault": [self._fault] * len(batch)})


def encode(
    prepared: Path,
    out: Path,
    config: EncoderConfig,
    actors: int = 2,
    gpus_per_actor: float = 0.0,
) -> dict[str, Any]:
    """Encode the distinct texts of the catalogue; Ray must be connected.

    Writes `vectors.npy`, float32 [items, dim], rows in item order, unit length, zero for an item without text; and
    `manifest.json`. With `text: none`, or where no item has text, dim is 0.

    Args:
        prepared: prepared directory, of which `items.parquet` is read.
        out: folder that is written, made if missing.
        config: model, pooling, tokens, precision and texts a batch, and where vectors are cached between runs.
        actors: processes with a copy of the model each.
        gpus_per_actor: above 0, the actors use CUDA.

    Returns:
        The manifest: items, with_text, dim, model, fingerprint, pooling, max_length, precision, unique_texts, cached,
        encoded, seconds.

    Raises:
        DataError: the model or the prepared directory is unusable, or the disk is full.
    """
    began = clock.perf_counter()
    precision = resolve_precision(config.precision, gpu=gpus_per_actor > 0)
    texts = _item_texts(Path(prepared) / Prepared.ITEMS)
    column = pa.array(texts, pa.large_string()).dictionary_encode()
    unique: list[str] = column.dictionary.to_pylist()
    which: NDArray[np.int64] = column.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    blank = np.array([not text for text in unique], dtype=bool)
    manifest: dict[str, Any] = {
        "items": len(texts),
        "with_text": int((~blank[which]).sum()) if len(texts) else 0,
        "dim": 0,
        "model": config.text,
        "fingerprint": "",
        "pooling": config.pooling,
        "max_length": config.max_length,
        "precision": precision,
        "unique_texts": int((~blank).sum()),
        "cached": 0,
        "encoded": 0,
    }
    vectors = np.zeros((len(unique), 0), dtype=np.float32)
    if config.text != NO_TEXT and manifest["unique_texts"]:
        wanted = np.flatnonzero(~blank)
        dim = vector_dim(config.text)
        mark = fingerprint(config.text, config.pooling, config.max_length, precision)
        root = Path(config.cache_dir).expanduser() if config.cache_dir else default_root()
        cache = VectorCache(root, mark, dim)
        keys = text_keys([unique[place] for place in wanted])
        found, known = cache.lookup(keys)
        vectors = np.zeros((len(unique), dim), dtype=np.float32)
        vectors[wanted] = known
        missing = wanted[~found]
        if len(missing):
            with full_disk_is_data_error(root):
                _encode_missing(unique, missing, keys[~found], vectors, cache, config, actors, gpus_per_actor, precision)
        manifest |= {"dim": dim, "fingerprint": mark, "cached": int(found.sum()), "encoded": len(missing)}
    with full_disk_is_data_error(Path(out)):
        Path(out).mkdir(parents=True, exist_ok=True)
        _write_vectors(Path(out) / VECTORS, vectors, which)
        manifest["seconds"] = round(clock.perf_counter() - began, 2)
        _replace_text(Path(out) / Prepared.MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def _item_texts(path: Path) -> list[str]:
    try:
        table = pq.read_table(path, columns=[Prepared.ITEM, Columns.TITLE, Columns.CATEGORY, Columns.TEXT])
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]}): run prepare again") from None
    table = table.sort_by(Prepared.ITEM)
    items = table[Prepared.ITEM].to_numpy()
    if not np.array_equal(items, np.arange(len(items))):
        raise DataError(f"{path}: column '{Prepared.ITEM}' does not count from 0 without gaps: run prepare again")
    return compose(table[Columns.TITLE], table[Columns.CATEGORY], table[Columns.TEXT])


def _encode_missing(
    unique: list[str],
    missing: NDArray[np.int64],
    keys: NDArray[np.bytes_],
    vectors: NDArray[np.float32],
    cache: VectorCache,
    config: EncoderConfig,
    actors: int,
    gpus_per_actor: float,
    precision: Precision,
) -> None:
    """Fill vectors[missing] through the pool, and store what arrives in the cache part by part."""
    texts = pa.array([unique[place] for place in missing], pa.large_string())
    # longest first over the whole set: batches of equal length, and no long piece of work left for the end
    order = np.argsort(-pc.utf8_length(texts).to_numpy(zero_copy_only=False), kind="stable")
    table = pa.table({"row": pa.array(order), "text": texts.take(pa.array(order))})
    pieces = [table.slice(start, _TASK_TEXTS) for start in range(0, len(table), _TASK_TEXTS)]
    pool = min(actors, len(pieces))
    results = ray.data.from_arrow(pieces).map_batches(
        _Worker,
        fn_constructor_args=(config, precision, "cuda" if gpus_per_actor else "cpu"),
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=pool),
        num_cpus=1,
        num_gpus=gpus_per_actor or None,
    )
    waiting: list[NDArray[np.int64]] = []
    batch: Any
    for batch in results.iter_batches(batch_format="pyarrow", batch_size=None):
        fault = batch["fault"][0].as_py()
        if fault:
            raise DataError(fault)
        rows = batch["row"].to_numpy()
        flat = pc.list_flatten(batch["vector"].combine_chunks()).to_numpy(zero_copy_only=False)
        vectors[missing[rows]] = flat.reshape(len(rows), -1)
        waiting.append(rows)
        if sum(map(len, waiting)) >= _PART_TEXTS:
            _store(waiting, missing, keys, vectors, cache)
            waiting = []
    if waiting:
        _store(waiting, missing, keys, vectors, cache)


def _store(
    rows: list[NDArray[np.int64]],
    missing: NDArray[np.int64],
    keys: NDArray[np.bytes_],
    vectors: NDArray[np.float32],
    cache: VectorCache,
) -> None:
    stored = np.concatenate(rows)
    try:
        cache.append(keys[stored], vectors[missing[stored]])
    except OSError as error:
        if is_full_disk(error):
            raise
        raise DataError(
            f"encoder.cache_dir: {cache.folder} cannot be written ({error.strerror}): choose another folder"
        ) from error


def _write_vectors(path: Path, unique: NDArray[np.float32], which: NDArray[np.int64]) -> None:
    """Spread the distinct vectors over the items, piece by piece, and put the file in place whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shape = (len(which), unique.shape[1])
    if 0 in shape:
        with temporary.open("wb") as file:
            np.save(file, np.zeros(shape, dtype=np.float32))
    else:
        table = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for start in range(0, len(which), _COPY_ROWS):
            table[start : start + _COPY_ROWS] = unique[which[start : start + _COPY_ROWS]]
        table.flush()
    os.replace(temporary, path)


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
