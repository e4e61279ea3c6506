"""What requests are answered from, on disk for any process to map: of a bundle's own log."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from timerec.bundle import Bundle
from timerec.eventlog import write_log
from timerec.sealed import LOG
from timerec.training.sources import StateFiles
from timerec.training.tables import FILE as TABLES

VECTORS = "vectors.npy"
RENEWED = "renewed.npy"
FAMILIES = "families.npy"


def files_in(work: Path) -> StateFiles:
    """What `open_bundle` or `timerec.pipeline.opened.open_data` wrote into `work`."""
    renewed = path if (path := work / RENEWED).exists() else None
    return StateFiles(work / "prepared", work / VECTORS, work / "features", work, renewed, work / FAMILIES)


def open_bundle(bundle: Bundle, work: Path) -> StateFiles:
    """Unpack the bundle's own log and what was learnt on it into `work`."""
    prepared = work / "prepared"
    shutil.copytree(bundle.path / LOG, prepared)
    write_log(prepared)
    np.save(work / VECTORS, bundle.text())
    np.save(work / FAMILIES, bundle.families())
    bundle.forecasts().save(work / "features")
    shutil.copy(bundle.path / TABLES, work / TABLES)
    renewed = bundle.renewed()
    if renewed is not None:
        np.save(work / RENEWED, renewed)
    return files_in(work)
