"""What the parts of the command line share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from timerec.schema import DataError

console = Console(stderr=True)
Moment = Annotated[str, typer.Option(help="unix seconds or ISO time (UTC)")]
Folder = Annotated[Path, typer.Option("--folder", help="where bundles are unpacked")]


def seconds(text: str, option: str) -> int | None:
    """Unix seconds of a moment given on the command line."""
    if not text:
        return None
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{option} {text}: give unix seconds or an ISO time such as 2017-11-26") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
