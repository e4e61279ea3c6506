"""One person on the terminal: the latest history, and recommendations with what speaks for each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from timerec.counters import before
from timerec.fusion.fuse import GROUPS
from timerec.recommend import Recommender, moments
from timerec.schema import Columns, DataError

SHOWN = 12  # latest events
BAR = 8  # characters of the longest bar


def show(console: Console, bundle: Path, user: str = "", at: str = "", k: int = 10) -> None:
    """Print history and recommendations of a user as of a moment; by default just after the log's end, for a typical user.

    Raises:
        DataError: the user is not in the log.
    """
    recommender = Recommender.load(bundle)
    log = recommender.state.log
    index = _index(recommender, user)
    identity = recommender.state.users[index].as_py()
    moment: Any = (int(at) if at.isdigit() else at) or int(log.event_time.max()) + 1
    found = recommender.explain(identity, at=moment, k=k)
    until = int(moments(moment, 1)[0])
    known = int(before(log.event_time, log.user_start[index], log.user_size[index], until))
    slab = slice(log.user_start[index], log.user_start[index] + known)
    console.print(_history(recommender, identity, log.event_item[slab], log.event_time[slab], log.event_value[slab]))
    console.print(_reasons(found, moment))


def _index(recommender: Recommender, user: str) -> int:
    if not user:  # a tenth of the users has more events than this one
        return int(np.argsort(recommender.state.log.user_size)[int(0.9 * recommender.state.log.n_users)])
    index = int(recommender.user_index([user])[0])
    if index < 0:
        raise DataError(f"--user {user}: is not in the bundle's log")
    return index


def _history(recommender: Recommender, identity: Any, items: Any, times: Any, values: Any) -> Table:
    table = Table(title=f"User {identity}: the latest {min(SHOWN, len(items))} of {len(items):,} events")
    for name in ("when (UTC)", "item", "value", "times so far"):
        table.add_column(name)
    for place in range(len(items) - 1, max(-1, len(items) - 1 - SHOWN), -1):
        when = datetime.fromtimestamp(int(times[place]), UTC)
        often = int((items[: place + 1] == items[place]).sum())
        table.add_row(f"{when:%Y-%m-%d %H:%M}", _title(recommender, int(items[place])), f"{values[place]:g}", str(often))
    return table


def _reasons(found: Any, moment: Any) -> Table:
    when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M") if isinstance(moment, int) else moment
    table = Table(title=f"Recommended as of {when} UTC; bars: what each source adds to the score")
    for name in ("", "item", "score", *GROUPS):
        table.add_column(name)
    largest = max(float(np.abs(found[list(GROUPS)].to_numpy()).max(initial=0.0)), 1e-6)
    for rank, row in enumerate(found.to_dict("records"), 1):
        bars = [_bar(row[name], largest) for name in GROUPS]
        table.add_row(str(rank), escape(str(row[Columns.TITLE] or row[Columns.ITEM])), f"{row[Columns.SCORE]:.2f}", *bars)
    return table


def _bar(value: float, largest: float) -> str:
    blocks = round(abs(value) / largest * BAR)
    return f"[{'green' if value >= 0 else 'red'}]{'█' * blocks}[/] {value:+.2f}"


def _title(recommender: Recommender, item: int) -> str:
    row = recommender.state.items.take(pa.array([item]))
    return escape(str(row[Columns.TITLE][0].as_py() or row[Columns.ITEM][0].as_py()))
