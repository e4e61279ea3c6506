"""Where a running system starts from: a bundle, unpacked once a machine, and the state of its own log or of a newer one."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timerec.bundle import FORECASTER, WEIGHTS, Bundle
from timerec.config import Config
from timerec.online.digest import DONE, digest_of
from timerec.pipeline.unpacked import files_in, open_bundle
from timerec.schema import DataError
from timerec.state import State
from timerec.training.sources import StateFiles


@dataclass(frozen=True)
class Base:
    """An unpacked bundle.

    Attributes:
        bundle: the verified bundle.
        files: what any process of the machine maps.
        digest: tells bundle and data; two bases of one digest answer alike.
    """

    bundle: Bundle
    files: StateFiles
    digest: str

    def state(self) -> State:
        """The state for the bundle's model."""
        return self.files.open().without(self.bundle.head["shape"]["fusion"].get("without", ()))

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the kinds of events."""
        return Config.model_validate(self.bundle.config).data.event_weights


def open_base(bundle: Path, folder: Path, data: Path | None = None) -> Base:
    """Unpack a bundle below `folder`, once: whoever comes second waits, and maps what the first one wrote.

    Args:
        data: a data set directory whose log takes the place of the bundle's own; Ray must be connected.

    Raises:
        DataError: the bundle is none, damaged or of another version, the directory cannot be answered from, or `folder` has no
            room for it.
    """
    # what is read from the bundle itself once it is unpacked may have been damaged or replaced since then
    digest, opened = digest_of(bundle, data), Bundle.open(bundle, verify=(WEIGHTS, FORECASTER))
    work = folder / digest
    if not (work / DONE).exists():  # else nothing is written: an image may hold it, read-only
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder / f"{digest}.lock"):
                if not (work / DONE).exists():
                    _unpack(bundle, data, work)
        except OSError as error:
            raise DataError(
                f"{folder}: {bundle} cannot be unpacked there ({error.strerror or error}): make room, or name another folder"
            ) from None
    return Base(opened, files_in(work), digest)


def _unpack(bundle: Path, data: Path | None, work: Path) -> None:
    opened = Bundle.open(bundle)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if data is None:
        open_bundle(opened, work)
    else:
        from timerec.pipeline.opened import open_data  # language models and Ray Data, which only this needs

        open_data(opened, data, work)
    (work / DONE).write_text(json.dumps({"bundle": str(bundle), "data": str(data) if data else None}))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
