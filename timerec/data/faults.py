"""Turning machine faults that a user can cure into one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.exceptions import OutOfDiskError, RayError

from timerec.schema import DataError


@contextmanager
def user_faults(out: Path) -> Iterator[None]:
    """Raise a `DataError` from a worker as itself, and a full disk as a `DataError`; other errors pass unchanged.

    Args:
        out: the folder being written, named in the message about a full disk.
    """
    try:
        yield
    except (OSError, RayError) as error:
        known = _find(error)
        if isinstance(known, DataError):
            raise DataError(str(known)) from error
        if known is not None:
            raise DataError(f"{out}: the disk is full; free space there or choose another --out") from error
        raise


def _find(error: BaseException) -> BaseException | None:
    """The first curable error along the chain of causes."""
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        current = queue.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, (DataError, OutOfDiskError)):
            return current
        if isinstance(current, OSError) and current.errno == errno.ENOSPC:
            return current
        queue += [getattr(current, "cause", None), current.__cause__, current.__context__]
    return None
