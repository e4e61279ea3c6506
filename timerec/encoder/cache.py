"""Vectors of texts kept between runs, found again by the hash of the text under the fingerprint of the model."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)

_KEY = np.dtype("S32")  # a sha256; NumPy compares and sorts these bytewise


def default_root() -> Path:
    """The user's cache directory: XDG_CACHE_HOME or ~/.cache, then `timerec/vectors`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "timerec" / "vectors"


def text_keys(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """sha256 of each text, [n] of 32 bytes."""
    digests = b"".join(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    return np.frombuffer(digests, dtype=_KEY)


class VectorCache:
    """Append-only parts in one folder a fingerprint.

    A part is an .npy file of (key, vector) sorted by key and named after the hash of its bytes: it appears whole or not
    at all, several processes may append at once, and a damaged part is passed over with a warning, so that its texts
    are encoded again.

    Args:
        root: folder of all fingerprints, made when the first part is written.
        fingerprint: of everything that decides a vector (see `language_model.fingerprint`).
        dim: length of a vector.
    """

    def __init__(self, root: Path, fingerprint: str, dim: int) -> None:
        self.folder = Path(root) / fingerprint
        self.dim = dim
        self._row = np.dtype([("key", _KEY), ("vector", np.float32, (dim,))])

    def lookup(self, keys: NDArray[np.bytes_]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Vectors that are known.

        Args:
            keys: [n] of 32 bytes.

        Returns:
            found bool [n], and float32 [n, dim] whose rows are zero where nothing was found.
        """
        found = np.zeros(len(keys), dtype=bool)
        vectors = np.zeros((len(keys), self.dim), dtype=np.float32)
        for path in sorted(self.folder.glob("*.npy")):
            part = self._read(path)
            wanted = np.flatnonzero(~found)
            if part is None or not len(part) or not len(wanted):
                continue
            known = part["key"]
            place = np.searchsorted(known, keys[wanted]).clip(max=len(known) - 1)
            hit = known[place] == keys[wanted]
            vectors[wanted[hit]] = part["vector"][place[hit]]
            found[wanted[hit]] = True
        return found, vectors

    def append(self, keys: NDArray[np.bytes_], vectors: NDArray[np.float32]) -> Path:
        """Store vectors [n, dim] under keys [n] as one more part, and return its file.

        Raises:
            OSError: the folder cannot be written, or the disk is full; nothing is left behind.
        """
        order = np.argsort(keys, kind="stable")
        part = np.empty(len(keys), dtype=self._row)
        part["key"], part["vector"] = keys[order], vectors[order]
        stream = io.BytesIO()
        np.save(stream, part, allow_pickle=False)
        data = stream.getbuffer()
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"{_digest(data)}.npy"
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        return target

    def _read(self, path: Path) -> NDArray[Any] | None:
        try:
            data = path.read_bytes()
            if _digest(data) != path.stem:
                raise ValueError("its bytes do not match its name")
            part: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
            if part.dtype != self._row or part.ndim != 1:
                raise ValueError(f"it holds {part.dtype}, not {self._row}")
        except (OSError, ValueError) as error:
            _log.warning("cached vectors in %s are passed over and encoded again: %s", path, error)
            return None
        return part


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
