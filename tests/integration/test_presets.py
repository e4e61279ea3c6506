"""Each preset on a generated log of its kind: what it sets reaches the log, and what its domain needs comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from timerec.clock import STEPS
from timerec.config import PRESETS, Config, load_config
from timerec.data.sources import generated
from timerec.recommend import Recommender
from timerec.schema import Columns, Prepared

KIND = {"ecommerce": "shop"}
SMALL = [
    "encoder.text=none", "forecaster.epochs=3", "forecaster.hidden=8", "train.requests=1500", "train.epochs=2",
    "train.val_requests=200", "evaluate.requests=500", "evaluate.bootstrap=50", "fusion.width=16", "fusion.hidden=32",
    "fusion.heads=2", "cluster.workers=1",
]  # fmt: skip
LISTED = "nobody has touched this"


class Trained(NamedTuple):
    preset: str
    config: Config
    data: Path
    out: Path


def small_data(preset: str, folder: Path) -> Path:
    """A log of the preset's kind and, at its end, an item that is listed and that nobody has touched."""
    generated.write(folder, KIND.get(preset, preset), users=250, items=150, events=9_000, seed=2)
    items = pd.read_parquet(folder / "items.parquet")
    latest = int(pd.read_parquet(folder / "interactions.parquet")[Columns.TIME].max())
    new = {**items.iloc[0].to_dict(), Columns.ITEM: 10_000, Columns.TITLE: LISTED, Columns.LISTED: latest - 60}
    pd.concat([items, pd.DataFrame([new])], ignore_index=True).to_parquet(folder / "items.parquet")
    return folder


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_reaches_the_prepared_log(ray_local: None, preset: str, tmp_path: Path) -> None:
    from timerec.pipeline.prepare import prepare

    data, settings = small_data(preset, tmp_path / "data"), load_config(preset=preset).data
    manifest = prepare(data, tmp_path / "prepared", settings)
    what = generated.KINDS[KIND.get(preset, preset)]
    assert manifest["step_seconds"] == STEPS[PRESETS[preset]["data"]["step"]]
    assert manifest["repeats"] == what.repeats
    # every kind of event that such a log has is weighed by the preset, and no other weight occurs
    names = [name for name, _ in (*what.takes, *what.looks)]
    assert set(names) <= set(settings.event_weights)
    log = pd.read_parquet(data / "interactions.parquet")
    wanted = log[Columns.EVENT].map(settings.event_weights).sum()
    weights = pq.read_table(tmp_path / "prepared" / Prepared.EVENTS, columns=[Prepared.WEIGHT])[Prepared.WEIGHT].to_numpy()
    assert weights.sum() == pytest.approx(wanted, rel=1e-5) and len(weights) == len(log)
    assert manifest["kinds"] == (sorted(set(names)) if len(set(names)) > 1 else [])
    kinds = pq.read_table(tmp_path / "prepared" / Prepared.EVENTS, columns=[Prepared.KIND])[Prepared.KIND].to_numpy()
    for place, name in enumerate(manifest["kinds"]):
        assert (kinds == place).sum() == (log[Columns.EVENT] == name).sum()
    series = pq.read_table(tmp_path / "prepared" / "series.parquet", columns=["count"])["count"].to_numpy()
    assert series.sum() == pytest.approx(wanted, rel=1e-5)


@pytest.fixture(scope="module", params=list(PRESETS))
def trained(request: pytest.FixtureRequest, ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from timerec.pipeline.run import run

    folder = tmp_path_factory.mktemp(request.param)
    config = load_config(preset=request.param, overrides=SMALL)
    made = Trained(request.param, config, small_data(request.param, folder / "data"), folder / "run")
    run(made.data, made.out, config)
    return made


def lists(trained: Trained, number: int = 60) -> tuple[Recommender, pd.DataFrame, int]:
    """Lists of ten for the busiest users, a second after the log's end."""
    log = pd.read_parquet(trained.data / "interactions.parquet")
    at = int(log[Columns.TIME].max()) + 1
    users = log[Columns.USER].value_counts().index[:number].tolist()
    recommender = Recommender.load(trained.out / "bundle")
    return recommender, recommender.recommend(users, at=at, k=10), at


def ndcg(results: dict[str, Any], name: str) -> float:
    return next(float(entry["metrics"]["ndcg@10"]["mean"]) for entry in results["systems"] if entry["name"] == name)


@pytest.mark.slow
def test_a_preset_beats_decayed_popularity(trained: Trained) -> None:
    results = json.loads((trained.out / "metrics.json").read_text())
    assert ndcg(results, "timerec") > ndcg(results, "decayed_popularity")


@pytest.mark.slow
def test_seen_items_are_offered_where_the_preset_says_so(trained: Trained) -> None:
    log = pd.read_parquet(trained.data / "interactions.parquet")
    had = set(zip(log[Columns.USER], log[Columns.ITEM], strict=True))
    _, found, _ = lists(trained)
    again = np.array([pair in had for pair in zip(found[Columns.USER], found[Columns.ITEM], strict=True)])
    if trained.preset in ("video", "news"):
        assert not again.any()
    else:
        assert again.mean() > 0.2


@pytest.mark.slow
def test_an_item_nobody_touched_is_scored_once_listed(trained: Trained) -> None:
    recommender, found, at = lists(trained)
    user = found[Columns.USER].iloc[0]
    assert np.isfinite(recommender.score([user], [10_000], at=at)).all()
    told = recommender.explain(user, at=at, items=[10_000])
    assert told[Columns.TITLE].tolist() == [LISTED]


@pytest.mark.slow
def test_new_arrivals_are_candidates(trained: Trained) -> None:
    recommender, found, at = lists(trained)
    user = found[Columns.USER].iloc[0]
    offered = set(recommender.recommend([user], at=at, k=250)[Columns.ITEM])
    before = set(recommender.recommend([user], at=at - 120, k=250)[Columns.ITEM])
    assert 10_000 in offered
    assert 10_000 not in before  # it was not listed yet
