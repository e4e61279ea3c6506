"""The head of a bundle and the checksums in it: nothing here takes long to import."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from timerec.schema import DataError

FORMAT, VERSION = "timerec-bundle", 5  # goes up whenever what is stored changes, in bundles or in stages of a run
HEAD = "bundle.json"
LOG = "log"  # folder of the log that it was trained on


def read_head(path: Path, verify: bool | Collection[str] = True) -> dict[str, Any]:
    """The head of the bundle at `path`, whose files are as it says.

    Args:
        verify: compare the checksums of all files, or of those whose path begins with one of these names.

    Raises:
        DataError: it is no bundle, of another version, or damaged.
    """
    try:
        head = json.loads((path / HEAD).read_text())
    except (OSError, ValueError):
        raise DataError(f"{path}: is no timerec bundle (no readable {HEAD}): give the bundle folder of a run") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise DataError(f"{path / HEAD}: is not the head of a timerec bundle: give the bundle folder of a run")
    if head.get("version") != VERSION:
        found = head.get("version")
        raise DataError(f"{path}: bundle version {found} cannot be read by this timerec, which reads {VERSION}: train it anew")
    files = head.get("files")
    if not isinstance(files, dict):
        raise DataError(f"{path / HEAD}: is damaged (it has no checksums): copy the bundle again")
    wanted = "" if verify is True else tuple(verify or ())
    for name, digest in files.items() if verify else ():
        if not name.startswith(wanted):
            continue
        file = path / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not file.is_file() or checksum(file) != digest:
            raise DataError(f"{file}: is missing or damaged (its checksum differs): copy the bundle again")
    return head


def checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
