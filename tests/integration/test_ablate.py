"""The model without a source: trained beside the whole one, judged on the same requests, and in the run's report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SmallRun
from tests.small_data import DAYS, START, small_config
from timerec import Recommender
from timerec.clock import DAY
from timerec.pipeline.ablate import ablate, ablation_of
from timerec.pipeline.run import run
from timerec.schema import DataError


@pytest.fixture(scope="module")
def copied(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """The small run, where its report may be written anew."""
    out = tmp_path_factory.mktemp("ablate") / "run"
    shutil.copytree(small_run.out, out)
    return SmallRun(small_run.data, out)


def test_sources_are_left_out_once_and_the_report_says_so(copied: SmallRun) -> None:
    told: list[tuple[str, str]] = []
    found = ablate(copied.out, ["time", "sequence"], progress=lambda *what: told.append(what))
    assert [row["source"] for row in found["rows"]] == ["time", "sequence"]
    metrics = json.loads((copied.out / "metrics.json").read_text())
    model = next(entry for entry in metrics["systems"] if entry["kind"] == "model")
    assert found["full"]["mean"] == pytest.approx(model["metrics"]["ndcg@10"]["mean"], abs=1e-6)
    full = np.load(next((copied.out / "ablate").glob("full-*.npy")))
    for row in found["rows"]:
        values = np.load(copied.out / "ablate" / row["source"] / "ndcg.npy")
        assert row["worth"]["difference"] == pytest.approx((full - values).mean())
        assert not np.array_equal(full, values)
    assert metrics["ablation"] == found == ablation_of(copied.out)
    for page in (copied.out / "report.html", copied.out / "evaluate" / "report.html", copied.out / "ablate" / "ablation.html"):
        assert "Knowing the time" in page.read_text()
    assert [state for _, state in told if state == "start"] == ["start"] * 2

    told.clear()
    again = ablate(copied.out, ["time"], progress=lambda *what: told.append(what))
    assert told == [("time", "skip")]
    assert again == found  # what was found before stays

    run(copied.data, copied.out, small_config())  # every stage is kept, and so is the headline
    assert "Knowing the time" in (copied.out / "report.html").read_text()


def test_the_bundle_without_time_answers_like_any_other(copied: SmallRun) -> None:
    bundle = copied.out / "ablate" / "time" / "bundle"
    assert json.loads((bundle / "bundle.json").read_text())["config"]["fusion"]["without"] == ["time"]
    recommender = Recommender.load(bundle)
    assert recommender.engine.state.sources.offer.timeless
    at = START + (DAYS - 5) * DAY
    found = recommender.recommend([1003, "nobody"], at=at, k=4)
    assert len(found) == 8
    scores = recommender.score([1003] * 4, found["item_id"][:4], at=at)
    np.testing.assert_allclose(scores, found["score"][:4], atol=1e-5)
    why = recommender.explain(1003, at=at, k=4)
    np.testing.assert_allclose(
        why[["taste", "momentum", "habit", "context"]].sum(axis=1), why["score"] - why["baseline"], atol=1e-5
    )


def test_findings_are_in_the_report(small_run: SmallRun) -> None:
    metrics = json.loads((small_run.out / "metrics.json").read_text())
    found = metrics["findings"]
    assert sum(found["shares"]["groups"].values()) == pytest.approx(1)
    assert {row["of"] for row in found["against"]} == {"users", "items", "week"}
    assert 0 <= found["calibration"]["error"] <= 1
    model = next(entry for entry in metrics["systems"] if entry["kind"] == "model")
    if found["age"]["requests"] == metrics["protocol"]["requests"]:  # nothing was left out of the sample
        weeks = found["age"]["weeks"]
        mean = sum(week["fresh"]["mean"] * week["requests"] for week in weeks) / sum(week["requests"] for week in weeks)
        assert mean == pytest.approx(model["metrics"]["ndcg@10"]["mean"])
    assert "What was found" in (small_run.out / "report.html").read_text()


def test_what_cannot_be_done_is_said(copied: SmallRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="weather: is no source: choose among time, habit"):
        ablate(copied.out, ["weather"])
    with pytest.raises(DataError, match="holds no finished run"):
        ablate(tmp_path, ["time"])
