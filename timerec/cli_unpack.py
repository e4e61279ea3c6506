"""`timerec unpack`: a bundle made ready for serving, ahead of time or while Ray starts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from timerec.cli_options import Folder, console
from timerec.online.digest import FOLDER, unpacked
from timerec.schema import DataError
from timerec.sealed import read_head

if TYPE_CHECKING:
    from timerec.online.base import Base


def unpack(
    bundle: Annotated[Path, typer.Option("--bundle", help="a run's bundle folder")],
    data: Annotated[Path | None, typer.Option("--data", help="data set directory whose log takes the bundle's place")] = None,
    folder: Folder = FOLDER,
    kernels: Annotated[bool, typer.Option("--kernels/--no-kernels", help="also compile what answers run")] = True,
) -> None:
    """Make a bundle ready for `serve` and `replay`, say in an image, so that the first start is as quick as any."""
    from timerec.data.cluster import connect
    from timerec.online.base import open_base

    if data is not None:
        connect()
    base = open_base(bundle, folder, data)
    console.print(f"unpacked: {base.files.prepared.parent}", highlight=False, soft_wrap=True)
    if kernels:
        compile_kernels(base)


def compile_kernels(base: Base) -> None:
    """Let Numba cache what replicas of a bundle run; what it holds already is loaded, in seconds."""
    from serve_app.ranking import Ranking
    from serve_app.reading import Reading
    from timerec.online.forecasts import LiveForecasts

    console.print("compiling kernels, where they are not yet: a minute or two …")
    for part in (Ranking, Reading):  # as they begin in a replica
        part(base)
    forecasts = LiveForecasts(base.files, base.bundle.path, base.weights)
    forecasts.item(forecasts.intake.items.name(0), 0)


def compiled() -> bool:
    """Whether a replica has been ready before with this user and release."""
    folder = os.environ.get("NUMBA_CACHE_DIR")  # set by timerec where it is not
    # what enters events is compiled by replicas alone
    return folder is not None and any(Path(folder).rglob("livelog.*.nbc"))


@contextmanager
def unpacking(bundle: Path, folder: Path) -> Iterator[Callable[[], None]]:
    """Unpack beside this block; who opens the bundle meanwhile waits for it.

    In a process that ends: what unpacking imports would stay for good in one that goes on.

    Yields:
        A function that raises `DataError` where unpacking has failed by then.

    Raises:
        DataError: there is no head of a bundle that can be read.
    """
    read_head(bundle, verify=False)
    if unpacked(bundle, folder):
        yield lambda: None
        return
    console.print("unpacking the bundle …")
    command = [sys.executable, "-m", "timerec.cli", "unpack", "--bundle", str(bundle), "--folder", str(folder)]
    command.append("--no-kernels")  # replicas start beside this, and compile them
    with (
        tempfile.TemporaryFile("w+") as said,
        # in a session of its own: by Ctrl-C it would go before those that wait for it, and these would begin anew
        subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True) as process,
    ):

        def check() -> None:
            if process.poll():
                said.seek(0)
                raise DataError((said.read().strip().splitlines() or ["unpacking ended"])[-1].removeprefix("timerec: "))

        try:
            yield check
        finally:
            process.terminate()
