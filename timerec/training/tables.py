"""What is learnt beside the network, as safetensors: item-to-item weights and the text reducer."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from timerec.candidates.similar import Similar
from timerec.encoder.reduce import Reducer

FILE = "tables.safetensors"


def save_tables(folder: Path, similar: Similar, reducer: Reducer) -> None:
    """Store both in `folder`."""
    arrays = {f"similar.{name}": np.ascontiguousarray(array) for name, array in similar._asdict().items()}
    arrays |= {f"reducer.{name}": np.ascontiguousarray(array) for name, array in vars(reducer).items()}
    save_file(arrays, folder / FILE)


def load_tables(folder: Path) -> tuple[Similar, Reducer]:
    """Read what `save_tables` stored."""
    arrays = load_file(folder / FILE)
    similar = Similar(*(arrays[f"similar.{name}"] for name in Similar._fields))
    return similar, Reducer(**{field.name: arrays[f"reducer.{field.name}"] for field in fields(Reducer)})
