"""API keys: hashed on disk, compared in constant time, each with its own rate."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from pathlib import Path

from timerec.schema import DataError

_LINE = re.compile(r"^([A-Za-z0-9_.-]{1,64}):([0-9a-f]{64})$")


class Keys:
    """The keys of a file, one `name:sha256` a line."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            DataError: it is not there, holds no key or a line that is none.
        """
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}): make one with `timerec serve-key NAME --keys FILE`"
            ) from None
        self._hashes: dict[str, bytes] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _LINE.match(line.strip())
            if not found:
                raise DataError(f"{path}, line {number}: is no key (NAME:SHA256): make one with `timerec serve-key`")
            self._hashes[found[1]] = bytes.fromhex(found[2])
        if not self._hashes:
            raise DataError(f"{path}: holds no key: make one with `timerec serve-key NAME --keys {path}`")

    def name(self, key: str) -> str | None:
        """Whose key it is; None for a wrong one. Takes as long for any key."""
        digest, found = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest(), None
        for name, known in self._hashes.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def add_key(path: Path, name: str) -> str:
    """Add a key to the file, a new one readable by its owner only; the key itself is returned and kept nowhere.

    Raises:
        DataError: the name is taken or no name, or the file cannot be written.
    """
    key = secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.match(line):
        raise DataError(f"key name {name!r}: use up to 64 letters, digits, dots, dashes and underscores")
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+") as file:
            file.seek(0)
            there = file.read()
            if any(known.startswith(f"{name}:") for known in there.splitlines()):
                raise DataError(f"{path}: has a key named {name}: choose another name, or remove its line")
            begun = there and not there.endswith("\n")  # by an editor that ends no last line
            file.write(("\n" if begun else "") + line + "\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}): choose another --keys") from None
    return key


class Rates:
    """A bucket of tokens for each name: `rate` a second, and as many at once."""

    def __init__(self, rate: float) -> None:
        self._rate, self._buckets = rate, {}  # type: float, dict[str, tuple[float, float]]

    def wait(self, name: str, cost: float = 1.0) -> float:
        """Seconds until `name` may ask again; 0 where it may now, and then `cost` tokens are taken."""
        if self._rate <= 0:
            return 0.0
        now, most = time.monotonic(), max(self._rate, 1.0)
        tokens, at = self._buckets.get(name, (most, now))
        tokens = min(most, tokens + (now - at) * self._rate)
        if tokens < 1.0:
            self._buckets[name] = (tokens, now)
            return (1.0 - tokens) / self._rate
        self._buckets[name] = (tokens - cost, now)
        return 0.0
