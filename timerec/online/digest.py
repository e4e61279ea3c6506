"""What tells two bases apart, and where a machine keeps them: nothing here takes long to import."""

from __future__ import annotations

import hashlib
from pathlib import Path

from timerec import __version__
from timerec.schema import DataError
from timerec.sealed import HEAD

DONE = "done.json"
FOLDER = Path(".timerec-serve")  # where bundles are unpacked, unless another one is told


def digest_of(bundle: Path, data: Path | None = None) -> str:
    """Digest of a bundle and of the sizes and times of change in a data set directory; cheap.

    Of a bundle its head is read, which has the checksums of all its files. What this version unpacks another may not read.

    Raises:
        DataError: there is no head of a bundle.
    """
    digest = hashlib.sha256(__version__.encode())
    try:
        digest.update((bundle / HEAD).read_bytes())
    except OSError:
        raise DataError(f"{bundle}: is no timerec bundle (no readable {HEAD}): give the bundle folder of a run") from None
    if data is not None:
        for path in sorted(path for path in data.rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(data)} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def unpacked(bundle: Path, folder: Path, data: Path | None = None) -> Path | None:
    """Where `timerec.online.base.open_base` has unpacked a bundle below `folder`, None where it has not.

    Raises:
        DataError: there is no head of a bundle.
    """
    work = folder / digest_of(bundle, data)
    return work if (work / DONE).exists() else None
