"""`timerec unpack`: a bundle made ready for serving, ahead of time or while Ray starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from timerec.cli_options import console
from timerec.online.digest import unpacked

FOLDER = Path(".timerec-serve")
Folder = Annotated[Path, typer.Option("--folder", help="where bundles are unpacked")]


def unpack(
    bundle: Annotated[Path, typer.Option("--bundle", help="a run's bundle folder")],
    data: Annotated[Path | None, typer.Option("--data", help="data set directory whose log takes the bundle's place")] = None,
    folder: Folder = FOLDER,
) -> None:
    """Unpack a bundle where `serve` and `replay` look for it, say in an image, so that the first start is as quick as any."""
    from timerec.data.cluster import connect
    from timerec.online.base import open_base

    if data is not None:
        connect()
    console.print(f"unpacked: {open_base(bundle, folder, data).files.prepared.parent}", highlight=False, soft_wrap=True)


@contextmanager
def unpacking(bundle: Path, folder: Path) -> Iterator[None]:
    """Unpack beside this block. Who opens the bundle meanwhile waits for it; where it fails, they try, and say what is amiss.

    In a process that ends: what unpacking imports would stay for good in one that goes on.

    Raises:
        DataError: there is no head of a bundle.
    """
    if unpacked(bundle, folder):
        yield
        return
    words = ("unpack", "--bundle", str(bundle), "--folder", str(folder))
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", "timerec.cli", *words], **silent) as process:
        try:
            yield
        finally:
            process.terminate()
