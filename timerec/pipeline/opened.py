"""What requests are answered from, on disk for any process to map: of a data set directory, for a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.torch import load_file

from timerec.bundle import ADAPTER, FORECASTER, Bundle, place_of
from timerec.candidates.similar import remap
from timerec.clock import DAY, STEPS
from timerec.config import Config
from timerec.encoder.item_text import compose
from timerec.encoder.peft import load_adapter_state, trainable_encoder
from timerec.pipeline.encode import encode
from timerec.pipeline.forecast import apply
from timerec.pipeline.prepare import prepare
from timerec.pipeline.unpacked import FAMILIES, RENEWED, VECTORS, files_in
from timerec.schema import Columns, DataError, Prepared
from timerec.training.sources import StateFiles
from timerec.training.tables import save_tables

YEAR = 366 * DAY


def open_data(bundle: Bundle, data: Path, work: Path, latest: int | None = None) -> StateFiles:
    """Prepare a data set directory for a bundle in `work`; Ray must be connected.

    Args:
        latest: unix seconds of the latest request, up to which the series run; by default the end of the log.

    Raises:
        DataError: the directory cannot be read, has other attributes than the bundle was trained on, or ends more than a year
            before `latest`.
    """
    trained, known = Config.model_validate(bundle.config), bundle.manifest
    prepared = work / "prepared"
    step = next(name for name, seconds in STEPS.items() if seconds == bundle.head["forecast"]["step"])
    kept = "yes" if known["repeats"] else "no"
    settings = trained.data.model_copy(update={"step": step, "repeats": kept})
    # a directory may lack the bundle's test part, and needs no split to answer: any inner moment will do
    manifest = prepare(data, prepared, settings, judged=False, kinds=known["kinds"])
    if manifest["attribute_names"] != known["attribute_names"]:
        raise DataError(
            f"{data}/item_attributes: has the columns {manifest['attribute_names']} where the bundle was trained on "
            f"{known['attribute_names']}: bring the same columns"
        )
    latest = manifest["last"] if latest is None else latest
    if latest > manifest["last"] + YEAR:
        raise DataError(
            f"requests, column timestamp: {latest} is more than a year after the last event of {data} "
            f"({manifest['last']}): correct it"
        )
    items = pq.read_table(prepared / Prepared.ITEMS, columns=[Columns.ITEM])[Columns.ITEM].combine_chunks()
    text = _text(bundle, prepared, work, trained)
    np.save(work / VECTORS, text)
    apply(bundle.path / FORECASTER, prepared, latest).save(work / "features")
    similar, reducer = bundle.tables()
    np.save(work / FAMILIES, reducer.families(reducer(text)))
    save_tables(work, remap(similar, place_of(bundle.items()[Columns.ITEM], items), len(items)), reducer)
    renewed = _renewed(bundle, prepared, trained)
    if renewed is not None:
        np.save(work / RENEWED, renewed)
    return files_in(work)


def _text(bundle: Bundle, prepared: Path, work: Path, trained: Config) -> NDArray[np.float32]:
    """Text vectors of the directory's catalogue, by the language model that the bundle was trained with."""
    known = bundle.text()
    settings = trained.encoder if known.shape[1] else trained.encoder.model_copy(update={"text": "none"})
    encode(prepared, work / "encode", settings)
    found = np.load(work / "encode" / VECTORS)
    # a directory without any text: its items are as items without a text were in training
    return found if found.shape[1] == known.shape[1] else np.zeros((len(found), known.shape[1]), np.float32)


def _renewed(bundle: Bundle, prepared: Path, trained: Config) -> NDArray[np.float32] | None:
    """Those of the fine-tuned language model, where the bundle has one."""
    adapter = bundle.path / ADAPTER
    if not adapter.exists():
        return None
    language = trainable_encoder(trained.encoder)
    load_adapter_state(language, load_file(adapter))
    items = pq.read_table(prepared / Prepared.ITEMS)
    return language.encode(compose(items[Columns.TITLE], items[Columns.CATEGORY], items[Columns.TEXT]))
