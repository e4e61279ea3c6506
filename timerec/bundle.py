"""A trained system on disk: safetensors, JSON and Parquet with checksums. Data, not code: nothing is unpickled."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from timerec.candidates.similar import Similar
from timerec.encoder.reduce import Reducer
from timerec.eventlog import write_log
from timerec.forecaster.features import ForecastFeatures
from timerec.schema import Columns, DataError, Prepared
from timerec.sealed import FORMAT, HEAD, LOG, VERSION, checksum, read_head
from timerec.state import State, open_state
from timerec.training.tables import FILE as TABLES
from timerec.training.tables import load_tables

if TYPE_CHECKING:
    from timerec.model import JointModel

WEIGHTS, VECTORS, FORECASTS = "model.safetensors", "vectors.safetensors", "forecast.safetensors"
FORECASTER, ADAPTER = "forecaster", "adapter.safetensors"
_LOG_FILES = (Prepared.MANIFEST, Prepared.USERS, Prepared.ITEMS, Prepared.ATTRIBUTES, "series.parquet")


@dataclass(frozen=True)
class RunFolders:
    """The outputs of the stages that a bundle is made of."""

    prepared: Path
    encoded: Path
    forecast: Path
    finetuned: Path


def write_bundle(run: RunFolders, weights: Path, out: Path, config: dict[str, Any]) -> Path:
    """Collect a trained system in `out`, which is replaced as a whole once everything is there.

    Args:
        weights: safetensors of the joint model that the bundle shall hold.
        config: the run's settings.
    """
    draft = out.with_name(out.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / LOG).mkdir(parents=True)
    (draft / FORECASTER).mkdir()
    shutil.copy(weights, draft / WEIGHTS)
    shutil.copy(run.finetuned / TABLES, draft / TABLES)
    for name in _LOG_FILES:
        if (run.prepared / name).exists():
            shutil.copy(run.prepared / name, draft / LOG / name)
    shutil.copytree(run.prepared / Prepared.EVENTS, draft / LOG / Prepared.EVENTS)
    for path in run.forecast.glob("model.*"):
        shutil.copy(path, draft / FORECASTER / path.name)
    text: dict[str, NDArray[Any]] = {"text": np.load(run.encoded / "vectors.npy")}
    _, reducer = load_tables(run.finetuned)
    text["family"] = reducer.families(reducer(text["text"]))
    if (run.finetuned / "text.npy").exists():
        text["renewed"] = np.load(run.finetuned / "text.npy")
    save_file({name: np.ascontiguousarray(array) for name, array in text.items()}, draft / VECTORS)
    if (run.finetuned / ADAPTER).exists():
        shutil.copy(run.finetuned / ADAPTER, draft / ADAPTER)
    features = ForecastFeatures.load(run.forecast / "features")
    arrays = {name: np.ascontiguousarray(getattr(features, name)) for name in ("offsets", "first_step", "values")}
    save_file(arrays, draft / FORECASTS)
    files = sorted(path.relative_to(draft).as_posix() for path in draft.rglob("*") if path.is_file())
    head = {
        "format": FORMAT,
        "version": VERSION,
        "config": config,
        "shape": json.loads((run.finetuned / "shape.json").read_text()),
        "forecast": {"origin": features.origin, "step": features.step, "names": features.names},
        "files": {name: checksum(draft / name) for name in files},
    }
    (draft / HEAD).write_text(json.dumps(head, indent=1))
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)
    return out


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle."""

    path: Path
    head: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, verify: bool | Collection[str] = True) -> Bundle:
        """Open the bundle at `path`.

        Args:
            verify: compare the checksums of all files, or of those whose path begins with one of these names; workers of a run
                that has done so need not.

        Raises:
            DataError: it is no bundle, of another version, or damaged.
        """
        path = Path(path)
        return cls(path, read_head(path, verify))

    @property
    def config(self) -> dict[str, Any]:
        return self.head["config"]

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the log that the bundle was trained on."""
        found: dict[str, Any] = json.loads((self.path / LOG / Prepared.MANIFEST).read_text())
        return found

    def items(self) -> pa.Table:
        """The catalogue at training time: item_id, title, category, text in item order."""
        names = [Columns.ITEM, Columns.TITLE, Columns.CATEGORY, Columns.TEXT]
        return pq.read_table(self.path / LOG / Prepared.ITEMS, columns=names)

    def text(self) -> NDArray[np.float32]:
        """Text vectors [I, D] of the catalogue by the pretrained language model: what the features see."""
        text = self._vectors("text")
        assert text is not None  # a bundle that opens has them
        return text

    def families(self) -> NDArray[np.int32]:
        """Family [I] of each item of the catalogue, by its text."""
        family = self._vectors("family")
        assert family is not None
        return family

    def renewed(self) -> NDArray[np.float32] | None:
        """Those of the fine-tuned language model, which the network reads in their place; None where it was frozen."""
        return self._vectors("renewed")

    def _vectors(self, name: str) -> NDArray[Any] | None:
        with safe_open(self.path / VECTORS, "numpy") as file:
            return file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118, no mapping

    def state(self, work: Path) -> State:
        """The state on the bundle's own log; the arrays of the log are built under `work`."""
        shutil.copytree(self.path / LOG, work, dirs_exist_ok=True)
        write_log(work)
        state = open_state(work, self.text(), self.forecasts(), *self.tables(), self.families())
        renewed = self.renewed()
        return state if renewed is None else replace(state, text=renewed)

    def forecasts(self) -> ForecastFeatures:
        """What the forecaster said of every step of the bundle's own log."""
        arrays: dict[str, Any] = load_file(self.path / FORECASTS)
        return ForecastFeatures(**arrays, **self.head["forecast"])

    def tables(self) -> tuple[Similar, Reducer]:
        """Item-to-item weights (in the bundle's item order) and the text reducer."""
        return load_tables(self.path)

    def model(self, state: State, weights: Path | None = None, stranger: bool = False) -> JointModel:
        """The joint model, ready to score on `state`; with other `weights` than its own where given.

        Args:
            stranger: behind the catalogue it has one item more, which stands for all that are in no table.
        """
        from safetensors.torch import load_file as load_tensors  # torch: unpacking does not need it

        from timerec.model import JointModel, Shape

        shape = dict(self.head["shape"])
        names = shape.pop("category_names")
        model = JointModel(Shape(**shape))
        model.load_state_dict(load_tensors(weights or self.path / WEIGHTS))
        width = max(span[1] for span in shape["groups"].values())
        if width != state.layout.width:
            raise DataError(
                f"item_attributes: the data give {state.layout.width} feature columns where the bundle was trained on {width}: "
                "bring the same attribute columns as in training"
            )
        known = self.items()[Columns.ITEM] if shape["items"] else None
        identity = np.zeros(state.log.n_items, np.int64)
        if known is not None:
            identity = place_of(state.items[Columns.ITEM], known) + 1
        text, category = state.text, category_indices(state.items, names)
        if stranger:
            text, identity = np.concatenate([text, np.zeros((1, text.shape[1]), text.dtype)]), np.append(identity, 0)
            category = np.append(category, names.index("") + 1 if "" in names else 0)
        model.attach(text, category, identity)
        return model.eval()


def category_names(items: pa.Table) -> list[str]:
    """Distinct categories of a catalogue, ascending: a model knows name k by index k + 1."""
    return sorted(set(pc.fill_null(items[Columns.CATEGORY], "").to_pylist()))


def category_indices(items: pa.Table, names: list[str]) -> NDArray[np.int64]:
    """Index of each item's category in the model's table, 0 where the model does not know it."""
    found = pc.index_in(pc.fill_null(items[Columns.CATEGORY], ""), value_set=pa.array(names, pa.string()))
    return pc.fill_null(pc.add(pc.cast(found, pa.int64()), 1), 0).to_numpy()


def place_of(wanted: pa.Array | pa.ChunkedArray, table: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Index of each id of `wanted` in `table`, -1 where it is not there; ids of different types compare as text."""
    if wanted.type != table.type:
        wanted, table = wanted.cast(pa.string()), table.cast(pa.string())
    whole = table.combine_chunks() if isinstance(table, pa.ChunkedArray) else table
    found = pc.index_in(wanted, value_set=whole)
    return pc.fill_null(pc.cast(found, pa.int64()), -1).to_numpy()
