"""A full disk is one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import OutOfDiskError, RayTaskError

from timerec.data.faults import full_disk_is_data_error
from timerec.data.passes import _faults_as_results
from timerec.schema import DataError

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, OutOfDiskError("spilling"), RayTaskError("f", "trace", FULL)])
def test_a_full_disk(error: Exception) -> None:
    with (
        pytest.raises(DataError, match="^/out: the disk is full; free space there"),
        full_disk_is_data_error(Path("/out")),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [PermissionError(errno.EACCES, "no"), RayTaskError("f", "trace", KeyError("bug")), DataError("mine"), KeyError()],
)
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, full_disk_is_data_error(Path("/out")):
        raise error
    assert caught.value is error


def test_faults_of_a_task_travel_as_results() -> None:
    def task(error: Exception) -> Iterator[dict[str, Any]]:
        yield {"rows": 1}
        raise error

    assert list(_faults_as_results(task(DataError("why")))) == [{"rows": 1}, {"fault": "why"}]
    assert list(_faults_as_results(task(FULL))) == [{"rows": 1}, {"fault": "disk is full"}]
    with pytest.raises(PermissionError):
        list(_faults_as_results(task(PermissionError(errno.EACCES, "no"))))
