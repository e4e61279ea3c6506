"""The accuracy benchmark's table, and when a finished run is judged again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import accuracy
from timerec.config import Config


def results(seconds: Any) -> dict[str, Any]:
    """Of the model and one peer, as `metrics.json` has them."""

    def system(name: str, kind: str, ndcg: float, spent: Any) -> dict[str, Any]:
        metrics = {metric: {"mean": value, "low": value - 0.01, "high": value + 0.01}
                   for metric, value in (("ndcg@10", ndcg), ("auc_uniform", 0.9), ("auc_popularity", 0.8))}  # fmt: skip
        return {"name": name, "title": name.upper(), "kind": kind, "metrics": metrics, "seconds": spent}

    paired = [{"baseline": "peer", "metric": "ndcg@10", "difference": 0.02, "low": -0.001, "high": 0.041}]
    systems = [system("peer", "baseline", 0.18, seconds), system("timerec", "model", 0.2, {"answers": 7.0})]
    return {"name": "shop", "k": 10, "protocol": {"requests": 5000}, "systems": systems, "paired": paired}


def test_table_has_the_best_first_and_seconds_of_fitting_apart_from_answers() -> None:
    found = results({"tuning": 20.0, "fit": 10.4, "features": 5.0, "answers": 3.2})
    lines = accuracy.markdown(accuracy.table(found)).splitlines()
    assert lines[0] == accuracy.HEAD
    model, peer = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:])
    assert model[:3] == ["shop, 5,000 requests", "**TIMEREC**", "**0.2000 (0.1900 to 0.2100)**"]
    assert model[-2:] == ["", "7"]  # when it was trained is not known
    assert peer == ["", "PEER", "0.1800 (0.1700 to 0.1900)", "+0.0200 (-0.0010 to +0.0410), level", "0.900", "0.800", "35", "3"]


@pytest.mark.parametrize(
    ("seconds", "peers", "again"),
    [({"answers": 1.0}, [], False), (1.0, [], True), ({"answers": 1.0}, ["als"], True)],
)
def test_a_finished_run_is_judged_again_where_a_peer_or_its_seconds_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: Any, peers: list[str], again: bool
) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps(results(seconds)))
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "config.json").write_text(Config().model_dump_json())
    monkeypatch.setattr(accuracy, "judge_into", lambda folder, out, config: {"judged": config.evaluate.peers})
    assert ("judged" in accuracy.judged(tmp_path, tmp_path / "out", peers)) == again
