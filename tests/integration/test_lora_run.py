"""A run whose language model is fine-tuned: the network reads the renewed vectors, in the bundle and on another directory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tests.small_data import small_config, write_small
from tests.tiny_models import tiny_bert
from timerec.bundle import Bundle
from timerec.pipeline.recommend import recommend
from timerec.pipeline.run import run
from timerec.recommend import Recommender


def test_bundle_and_directory_answer_alike(ray_local: None, tmp_path: Path) -> None:
    data = write_small(tmp_path / "data")
    config = small_config()
    config.encoder.text, config.encoder.tuning = str(tiny_bert(tmp_path / "bert")), "lora"
    config.encoder.cache_dir = str(tmp_path / "cache")
    config.forecaster.kind = "none"
    run(data, tmp_path / "run", config)

    bundle = Bundle.open(tmp_path / "run" / "bundle")
    renewed = bundle.renewed()
    assert renewed is not None
    assert renewed.shape == bundle.text().shape
    assert not np.allclose(renewed, bundle.text(), atol=1e-4)
    _, reducer = bundle.tables()
    families = reducer.families(reducer(bundle.text()))  # of what features see, not of what the network reads
    np.testing.assert_array_equal(bundle.families(), families)

    log = pd.read_parquet(data / "interactions.parquet").sort_values("timestamp")
    last = log.groupby("user_id").timestamp.max().iloc[:20]
    requests = pd.DataFrame({"request_id": range(len(last)), "user_id": last.index, "timestamp": last.to_numpy()})
    requests.to_parquet(tmp_path / "requests.parquet")
    recommend(tmp_path / "run" / "bundle", data, tmp_path / "requests.parquet", tmp_path / "lists.parquet", 5)
    from_directory = pd.read_parquet(tmp_path / "lists.parquet").sort_values(["request_id", "rank"])
    loaded = Recommender.load(tmp_path / "run" / "bundle")
    from_bundle = loaded.recommend(last.index.to_list(), at=last.to_list(), k=5)
    assert len(from_directory) == len(from_bundle) == 100
    np.testing.assert_allclose(from_directory["score"].to_numpy(), from_bundle["score"].to_numpy(), atol=1e-3)
    assert (from_directory["item_id"].to_numpy() == from_bundle["item_id"].to_numpy()).mean() > 0.95
