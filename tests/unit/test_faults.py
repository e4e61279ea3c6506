"""What a worker raises arrives as a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ray.exceptions import OutOfDiskError, RayTaskError

from timerec.data.faults import user_faults
from timerec.schema import DataError


def test_a_full_disk_is_a_sentence() -> None:
    with pytest.raises(DataError, match="/out: the disk is full; free space there"), user_faults(Path("/out")):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DataError, match="the disk is full"), user_faults(Path("/out")):
        raise OutOfDiskError("spilling")


def test_a_data_error_of_a_worker_keeps_its_sentence() -> None:
    cause = DataError("interactions.parquet: write it again")
    with pytest.raises(DataError, match="^interactions.parquet: write it again$"), user_faults(Path("/out")):
        raise RayTaskError("f", "traceback", cause)
    with pytest.raises(DataError, match="the disk is full"), user_faults(Path("/out")):
        raise RayTaskError("f", "traceback", OSError(errno.ENOSPC, "No space left on device"))


def test_other_faults_pass() -> None:
    with pytest.raises(PermissionError), user_faults(Path("/out")):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(RayTaskError), user_faults(Path("/out")):
        raise RayTaskError("f", "traceback", KeyError("bug"))
