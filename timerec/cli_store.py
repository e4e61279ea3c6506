"""The commands `timerec store …`: a log into an event store, out of it, and what a bundle holds removed from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from timerec.cli_options import Moment, console, seconds

store_app = typer.Typer(help="The event store of online serving.", no_args_is_help=True)
Store = Annotated[str, typer.Option("--store", help="file path, sqlite:///PATH or redis://HOST:PORT/DB?prefix=NAME")]


@store_app.command()
def load(
    store: Store,
    data: Annotated[Path, typer.Option("--data", help="interactions: .parquet, .csv, or a data set directory")],
    refused: Annotated[Path | None, typer.Option("--refused", help="file for refused rows, .parquet or .csv")] = None,
) -> None:
    """Append a log to the event store; what it has already is not stored again."""
    from timerec.store import open_store
    from timerec.store.transfer import load as append

    with open_store(store) as opened, _Bar("rows") as bar:
        found = append(opened, data, refused, progress=bar)
    if found["refused"] and refused is None:
        console.print(f"{found['refused']:,} rows were refused; --refused FILE writes them with their reasons", markup=False)
    print(json.dumps(found))


@store_app.command()
def export(
    store: Store, out: Annotated[Path, typer.Option("--out", help="a folder, or a .parquet file")], until: Moment = ""
) -> None:
    """Write the events as interactions.parquet, which `run`, `prepare` and `recommend` read."""
    from timerec.store import open_store
    from timerec.store.transfer import export as write

    with open_store(store, create=False) as opened, _Bar("events") as bar:
        found = write(opened, out, seconds(until, "--until"), bar)
    print(json.dumps(found))


@store_app.command()
def compact(
    store: Store, bundle: Annotated[Path, typer.Option("--bundle", help="the bundle that all servers answer from")]
) -> None:
    """Remove the events that the bundle's log holds already, and give their space back."""
    from timerec.store import open_store
    from timerec.store.compact import compact as remove

    with open_store(store, create=False) as opened, _Bar("events") as bar:
        found = remove(opened, bundle, bar)
    print(json.dumps(found))


class _Bar:
    """On a terminal, a bar over what is done."""

    def __init__(self, what: str) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
