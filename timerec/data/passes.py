"""Passes of Ray Data over small task descriptions, and the Arrow files that tasks hand to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray.data

_STATISTICS = "statistics"


def each(tasks: list[dict[str, Any]], function: Any, **arguments: Any) -> list[dict[str, Any]]:
    """Run `function(task, **arguments)`, a generator of dictionaries, over the tasks with Ray Data; order is kept.

    What is passed and returned is small (paths, counts): the tables themselves go through files.
    """

    def run(batch: pa.Table) -> Iterator[pa.Table]:
        for task in batch["task"].to_pylist():
            found = [json.dumps(result) for result in function(json.loads(task), **arguments)]
            yield pa.table({_STATISTICS: pa.array(found, pa.string())})

    rows = [{"order": order, "task": json.dumps(task)} for order, task in enumerate(tasks)]
    blocks = min(len(rows), 256)
    results = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        run, batch_format="pyarrow", batch_size=1, zero_copy_batch=True
    )
    return [json.loads(row[_STATISTICS]) for row in results.take_all()]


def write_arrow(table: pa.Table, path: Path) -> None:
    """Store a table as an Arrow file."""
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def read_arrow(path: Path) -> pa.Table:
    """Map a stored Arrow file."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
