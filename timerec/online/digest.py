"""What tells two bases apart: the head of the bundle, which has the checksums of all its files, and the data beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from timerec.schema import DataError

HEAD = "bundle.json"


def digest_of(bundle: Path, data: Path | None = None) -> str:
    """Digest of a bundle and of the sizes and times of change in a data set directory; cheap.

    Raises:
        DataError: there is no head of a bundle.
    """
    digest = hashlib.sha256()
    try:
        digest.update((bundle / HEAD).read_bytes())
    except OSError:
        raise DataError(f"{bundle}: is no timerec bundle (no readable {HEAD}): give the bundle folder of a run") from None
    if data is not None:
        for path in sorted(path for path in data.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(data)} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
