"""Turning a full disk into one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.exceptions import OutOfDiskError, RayError, RayTaskError

from timerec.schema import DataError


@contextmanager
def full_disk_is_data_error(out: Path) -> Iterator[None]:
    """Raise a `DataError` where the disk is full, here or in a worker; other errors pass unchanged.

    Args:
        out: the folder being written, which the message names.
    """
    try:
        yield
    except (OSError, RayError) as error:
        if not is_full_disk(error):
            raise
        raise DataError(f"{out}: the disk is full; free space there or choose another output folder") from error


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or what a worker raised, says that a disk is full."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    return isinstance(cause, OutOfDiskError) or (isinstance(cause, OSError) and cause.errno == errno.ENOSPC)
