"""`timerec replay`: a logged answer, computed again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from timerec.cli_options import Folder, console
from timerec.online.digest import FOLDER

if TYPE_CHECKING:
    from timerec.online.replay import Replayed

PARTS = ("baseline", "taste", "momentum", "habit", "context")


def replay(
    request_id: str,
    bundle: Annotated[Path, typer.Option("--bundle", help="the bundle that answered it")],
    store: Annotated[str, typer.Option("--store", help="the event store of the service")],
    data: Annotated[Path | None, typer.Option("--data", help="the data set directory, where it was served from one")] = None,
    folder: Folder = FOLDER,
) -> None:
    """Answer a logged request again, from exactly what was known then: why did she get this on Tuesday?"""
    from timerec.data.cluster import connect
    from timerec.online.base import open_base
    from timerec.online.replay import replay as again
    from timerec.store.open import open_store

    if data is not None:
        connect()
    with open_store(store, create=False) as events:
        found = again(request_id, events, open_base(bundle, folder, data))
    console.print(_table(found))
    console.print("The same answer." if found.same else "Another answer than then.", style="" if found.same else "red")
    print(json.dumps({"request_id": request_id, "same": found.same, "then": found.then, "now": found.now}))
    if not found.same:
        raise typer.Exit(1)


def _table(found: Replayed) -> Table:
    moment = datetime.fromtimestamp(found.ask.at, UTC)
    table = Table(title=f"{escape(found.ask.user_id or 'somebody')} as of {moment:%Y-%m-%d %H:%M:%S} UTC")
    for column in ("", "item", "title", "score then", "now", *PARTS):
        table.add_column(column)
    for rank, (then, now) in enumerate(zip_longest(found.then, found.now), 1):
        item, title, parts = "", "", [""] * len(PARTS)
        if now:
            item, title = str(now["item_id"]), str(now["title"])
            parts = [f"{now['parts'][name]:+.2f}" for name in PARTS]
        if then and item != then["item_id"]:
            item += f" (then {then['item_id']})"
        scores = [f"{one['score']:.5f}" if one else "" for one in (then, now)]
        table.add_row(str(rank), escape(item), escape(title), *scores, *parts)
    return table
