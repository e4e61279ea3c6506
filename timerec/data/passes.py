"""Passes of Ray Data over small task descriptions, and the Arrow files that tasks hand to each other."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from timerec.data.faults import is_full_disk
from timerec.schema import DataError

_FOUND = "found"
_FAULT, _FULL = "fault", "disk is full"  # a fault travels as a result: an exception would print Ray's tracebacks


def each(tasks: list[dict[str, Any]], function: Callable[..., Any], **arguments: Any) -> list[dict[str, Any]]:
    """Run the generator `function(task, **arguments)` over the tasks with Ray Data and collect what it yields.

    What is passed and returned is small (paths, counts): the tables themselves go through files.

    Raises:
        DataError: a task raised it.
        OSError: the disk was full in a task.
    """

    def run(batch: pa.Table) -> Iterator[pa.Table]:
        for task in batch["task"].to_pylist():
            found = [json.dumps(result) for result in _faults_as_results(function(json.loads(task), **arguments))]
            yield pa.table({_FOUND: pa.array(found, pa.string())})

    rows = [{"task": json.dumps(task)} for task in tasks]
    results = ray.data.from_items(rows, override_num_blocks=min(len(rows), 256)).map_batches(
        run, batch_format="pyarrow", batch_size=1, zero_copy_batch=True
    )
    found = [json.loads(row[_FOUND]) for row in results.take_all()]
    for result in found:
        if result.get(_FAULT) == _FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if _FAULT in result:
            raise DataError(result[_FAULT])
    return found


def write_arrow(table: pa.Table, path: Path) -> None:
    """Store a table as an Arrow file."""
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def read_arrow(path: Path) -> pa.Table:
    """Map a stored Arrow file."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def _faults_as_results(results: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        yield from results
    except DataError as error:
        yield {_FAULT: str(error)}
    except OSError as error:
        if not is_full_disk(error):
            raise
        yield {_FAULT: _FULL}
