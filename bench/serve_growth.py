"""What ten times the items, and ten times the history, cost the service: part of `python -m bench.serve BUNDLE --grow 10`.

Three data sets are made from the bundle's own log: as it is, with copies of all items under new ids, and with copies of all
events further back in time. Each is served with `--data` by a start of its own, in turns; load comes from 16 clients who ask for
users of the bundle. What is answered means nothing then; what it costs does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.load import bundle_users, measured
from bench.service import memory, served
from timerec.bundle import LOG
from timerec.clock import DAY
from timerec.schema import Columns, Prepared

CLIENTS = 16
WEEK = 7 * DAY
SYSTEMS = ("plain", "items", "history")
Tables = dict[str, pd.DataFrame]  # of a data set, by name: interactions, items, and item_attributes where there are any
FIGURES = ("rps", "p50_ms", "p99_ms", "memory_gib", "start_seconds")


def grow(asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """One row a system: medians over the rounds, and their ratios to the plain log of the same round.

    Args:
        asked: bundle, grow (how many times), rounds, seconds and port.
    """
    users = folder / "users.json"
    users.write_text(json.dumps(bundle_users(asked.bundle)))
    plain = told_log(asked.bundle)
    make: dict[str, Callable[[], Tables]] = {
        "plain": lambda: plain,
        "items": lambda: more_items(plain, asked.grow),
        "history": lambda: longer_history(plain, asked.grow),
    }
    size = {name: _write(make[name](), folder / name) for name in SYSTEMS}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    for turn in range(asked.rounds):
        for name in SYSTEMS:
            options = {"--bundle": asked.bundle.absolute(), "--data": folder / name, "--store": folder / f"{name}-{turn}.db"}
            with served(folder, asked.port, {**options, "--clock": "log"}) as service:
                address = f"{service.url}/v1/recommend"
                measured(address, CLIENTS, min(5.0, asked.seconds), users)
                found = measured(address, CLIENTS, asked.seconds, users)
                rounds[name].append({**found, "memory_gib": memory(service.pid), "start_seconds": service.seconds})
    rows = []
    for name, found in rounds.items():
        pairs = list(zip(found, rounds["plain"], strict=True))
        row: dict[str, Any] = {"system": name, **size[name], "failed": sum(int(one["failed"]) for one in found)}
        for figure in FIGURES:
            row[figure] = float(np.median([one[figure] for one in found]))
            row[f"{figure}_ratio"] = float(np.median([one[figure] / other[figure] for one, other in pairs]))
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = [
        f"{'log':8} {'items':>9} {'events':>10} {'rps':>8} {'ratio':>6} {'p50 ms':>8} {'ratio':>6} {'p99 ms':>8} {'ratio':>6} "
        f"{'GiB':>6} {'failed':>6}"
    ]
    for row in rows:
        figures = " ".join(f"{row[name]:8.1f} {row[f'{name}_ratio']:6.2f}" for name in ("rps", "p50_ms", "p99_ms"))
        lines.append(
            f"{row['system']:8} {row['items']:9} {row['events']:10} {figures} {row['memory_gib']:6.2f} {row['failed']:6}"
        )
    return "\n".join(lines)


def told_log(bundle: Path) -> Tables:
    """The data set that a bundle's own log is of."""
    log = bundle / LOG
    manifest = json.loads((log / Prepared.MANIFEST).read_text())
    users = pd.read_parquet(log / Prepared.USERS)[Columns.USER].to_numpy()
    items = pd.read_parquet(log / Prepared.ITEMS)
    names = items[Columns.ITEM].to_numpy()
    events = pd.read_parquet(log / Prepared.EVENTS)
    found = pd.DataFrame(
        {
            Columns.USER: users[events[Prepared.USER]],
            Columns.ITEM: names[events[Prepared.ITEM]],
            Columns.TIME: events[Prepared.TIME],
            Columns.VALUE: events[Prepared.VALUE].astype(float),
        }
    )
    kinds = np.array([*manifest["kinds"], None], object)  # the last one is that of kind -1
    if len(kinds) > 1:
        found[Columns.EVENT] = kinds[events[Prepared.KIND]]
    tables = {"interactions": found, "items": items[[Columns.ITEM, Columns.TITLE, Columns.CATEGORY, Columns.TEXT]]}
    if (log / Prepared.ATTRIBUTES).exists():
        told = pd.read_parquet(log / Prepared.ATTRIBUTES)
        told.insert(0, Columns.ITEM, names[told[Prepared.ITEM]])
        told = told.drop(columns=Prepared.ITEM).rename(columns={Prepared.TIME: Columns.TIME})
        tables["item_attributes"] = told
    return tables


def more_items(tables: Tables, times: int, seed: int = 0) -> Tables:
    """`times` as many items: copies with the texts, categories and attributes of theirs, each taken once by somebody."""
    draw = np.random.default_rng(seed)
    grown = {name: [table] for name, table in tables.items()}
    log = tables["interactions"]
    for copy in range(1, times):
        named = {
            name: table.assign(**{Columns.ITEM: _copies(table[Columns.ITEM], copy, tables["items"][Columns.ITEM])})
            for name, table in tables.items()
            if name != "interactions"
        }
        for name, table in named.items():
            grown[name].append(table)
        taken = log.iloc[draw.integers(0, len(log), len(named["items"]))]
        grown["interactions"].append(taken.assign(**{Columns.ITEM: named["items"][Columns.ITEM].to_numpy()}))
    return {name: pd.concat(pieces, ignore_index=True) for name, pieces in grown.items()}


def longer_history(tables: Tables, times: int) -> Tables:
    """`times` as many events of every user: what each did, repeated at the same hours of earlier weeks."""
    log = tables["interactions"]
    span = (int(log[Columns.TIME].max() - log[Columns.TIME].min()) // WEEK + 1) * WEEK
    first = int(log[Columns.TIME].min()) - (times - 1) * span
    if first < 0:
        raise SystemExit(f"--grow {times}: a history of {times} x {span // DAY} days would begin before 1970: ask for less")
    pieces = [log.assign(**{Columns.TIME: log[Columns.TIME] - copy * span}) for copy in range(times)]
    return {**tables, "interactions": pd.concat(pieces, ignore_index=True)}


def _copies(items: pd.Series, copy: int, known: pd.Series) -> pd.Series:
    """New ids: numbers above all known ones where ids are numbers, else texts with a mark."""
    if pd.api.types.is_integer_dtype(known):
        return items + copy * (int(known.max()) - min(0, int(known.min())) + 1)
    return items.astype(str) + f" copy {copy}"


def _write(tables: Tables, folder: Path) -> dict[str, int]:
    """Write a data set; how many items and events it has."""
    folder.mkdir()
    for name, found in tables.items():
        found.to_parquet(folder / f"{name}.parquet", index=False)
    return {"items": len(tables["items"]), "events": len(tables["interactions"])}
