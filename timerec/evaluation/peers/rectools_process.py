"""The half of the SASRec peer that runs where RecTools is installed: `python rectools_process.py fit|answer FOLDER`.

It is a program and imports nothing of timerec. `fit` reads events.npz (sequence, item; the oldest first) and settings.json, and
writes the model. `answer` reads histories.npz (request, item; the oldest first) and writes factors.npz: `items` [I, F], NaN where
the model does not know an item; and `users` [n, F] of the `requests` [n] that have a history of known items.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

EVENTS, HISTORIES, FACTORS, SETTINGS, MODEL = "events.npz", "histories.npz", "factors.npz", "settings.json", "model.rectools"

WHOLE, DRAWN = 5_000, 128  # most items whose softmax is computed whole; negatives drawn a position where it is not


def fit(folder: Path) -> None:
    """Train on the events."""
    import numpy as np
    from lightning_fabric import seed_everything
    from rectools.models import SASRecModel
    from rectools.models.nn.transformers.lightning import TransformerLightningModuleBase

    settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
    events = np.load(folder / EVENTS)
    seed_everything(settings["seed"])
    # over a large catalogue the softmax of all items takes nearly all of the time
    loss = {"loss": "softmax"} if settings["items"] <= WHOLE else {"loss": "sampled_softmax", "n_negatives": DRAWN}
    model = SASRecModel(
        n_factors=int(settings["factors"]), n_blocks=int(settings["blocks"]), n_heads=4, dropout_rate=settings["dropout"],
        session_max_len=settings["length"], epochs=int(settings["epochs"]), lr=1e-3, batch_size=int(settings["batch"]),
        deterministic=True, **loss,
    )  # fmt: skip
    # RecTools' own transposes the logits and has the padding in them: 1.7 times the time on a CPU. Positions whose loss is
    # exactly 0 it leaves out of the mean
    if not hasattr(TransformerLightningModuleBase, "_calc_softmax_loss"):
        raise SystemExit("this RecTools has no _calc_softmax_loss: use the release in constraints-rectools.txt (`make rectools`)")
    TransformerLightningModuleBase._calc_softmax_loss = staticmethod(_softmax_loss)
    model.fit(_dataset(events["sequence"], events["item"]))
    model.save(folder / MODEL)


def answer(folder: Path) -> None:
    """Factors of users as of their requests, and of all items."""
    import numpy as np
    from rectools.models import load_model

    settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text())
    model: Any = load_model(folder / MODEL)
    histories = np.load(folder / HISTORIES)
    known = model.data_preparator.item_id_map
    internal = model.data_preparator.get_known_items_sorted_internal_ids()
    readable = np.isin(histories["item"], known.convert_to_external(internal).astype(np.int64))
    request, item = histories["request"][readable], histories["item"][readable]
    if not len(request):  # nobody has a history of known items
        width = int(settings["factors"])
        np.savez(folder / FACTORS, users=np.zeros((0, width), np.float32), requests=np.zeros(0, np.int64),
                 items=np.full((settings["items"], width), np.nan, np.float32))  # fmt: skip
        return
    asked = model.data_preparator.transform_dataset_u2i(_dataset(request, item), np.unique(request))
    loader = model.data_preparator.get_dataloader_recommend(asked, 256)
    users, vectors = model.lightning_model._get_user_item_embeddings(loader, "cpu")
    items = np.full((settings["items"], vectors.shape[1]), np.nan, np.float32)
    items[known.convert_to_external(internal).astype(np.int64)] = vectors.numpy()[internal]
    np.savez(folder / FACTORS, users=users.numpy(), requests=asked.user_id_map.external_ids.astype(np.int64), items=items)


def _softmax_loss(logits: Any, target: Any, weight: Any) -> Any:
    """Weighted mean cross-entropy of the positions [B, L] whose target is not padding (0), over logits [B, L, classes]."""
    import torch

    told = target != 0
    loss = torch.nn.functional.cross_entropy(logits[told], target[told], reduction="none") * weight[told]
    return loss.mean()


def _dataset(user: Any, item: Any) -> Any:
    """Events in order of time."""
    import numpy as np
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset

    when = pd.to_datetime(np.arange(len(user), dtype=np.int64), unit="s")
    return Dataset.construct(pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: when}))


if __name__ == "__main__":
    {"fit": fit, "answer": answer}[sys.argv[1]](Path(sys.argv[2]))
