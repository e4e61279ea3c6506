"""Jobs on a Ray that runs already: submitted, successful, and with a JSON summary as the last line of the log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.integration.ray_head import BIN, environment, ray_head

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FAST = ["encoder.text=none", "forecaster.epochs=2", "train.epochs=1", "train.requests=600", "evaluate.bootstrap=50"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A Ray head of this module's own."""
    with ray_head() as found:
        yield found


def data_set(folder: Path, events: int = 4000) -> Path:
    """140 days in which each of 120 users mostly returns to six items out of 60."""
    rng = np.random.default_rng(0)
    user = rng.integers(0, 120, events)
    own = rng.integers(0, 60, (120, 6))
    item = np.where(rng.random(events) < 0.6, own[user, rng.integers(0, 6, events)], rng.integers(0, 60, events))
    time = 1_600_000_000 + np.sort(rng.choice(140 * 86_400, events, replace=False))
    folder.mkdir()
    pd.DataFrame({"user_id": user, "item_id": item, "timestamp": time}).to_parquet(folder / "interactions.parquet")
    return folder


def submit(address: str, name: str, module: str, *arguments: str) -> tuple[int, str, str, int | None]:
    """Exit code of `ray job submit`, and the job's status, log and own exit code."""
    from ray.job_submission import JobSubmissionClient

    command = [str(BIN / "ray"), "job", "submit", "--address", address, "--submission-id", name, "--working-dir", str(ROOT)]
    done = subprocess.run(
        [*command, "--", "python", "-m", module, *arguments], capture_output=True, text=True, env=environment(), timeout=1500
    )
    client = JobSubmissionClient(address)
    info = client.get_job_info(name)
    return done.returncode, str(info.status), client.get_job_logs(name), info.driver_exit_code


def test_the_pipeline_succeeds_and_ends_with_its_summary(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    data, out = data_set(tmp_path / "data"), tmp_path / "run"
    settings = [word for setting in FAST for word in ("--set", setting)]
    code, status, log, _ = submit(address, "all", "jobs.pipeline", "--data", str(data), "--out", str(out), *settings)
    assert (code, status) == (0, "SUCCEEDED"), log
    summary = json.loads(log.splitlines()[-1])
    assert summary == json.loads((out / "summary.json").read_text())
    assert 0 < summary["test"]["ndcg@10"] <= 1
    assert (out / "bundle" / "bundle.json").exists()

    requests = tmp_path / "requests.csv"
    requests.write_text("request_id,user_id,timestamp\n1,3,1612000000\n2,999,1612000001\n")
    lists = tmp_path / "lists.parquet"
    code, status, log, _ = submit(
        address, "lists", "jobs.recommend", "--bundle", str(out / "bundle"), "--data", str(data),
        "--requests", str(requests), "--out", str(lists), "--k", "5",
    )  # fmt: skip
    assert (code, status) == (0, "SUCCEEDED"), log
    assert json.loads(log.splitlines()[-1]) == {"requests": 2, "strangers": 1, "rows": 10, "out": str(lists)}
    assert len(pd.read_parquet(lists)) == 10


def test_a_fault_in_the_data_is_one_sentence_and_exit_code_2(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    data = data_set(tmp_path / "data")
    table = pd.read_parquet(data / "interactions.parquet").rename(columns={"user_id": "customer"})
    table.to_parquet(data / "interactions.parquet")
    code, status, log, own = submit(address, "bad", "jobs.prepare", "--data", str(data), "--out", str(tmp_path / "out"))
    assert (code, status, own) == (1, "FAILED", 2), log
    assert "interactions.parquet has no column 'user_id': rename its column 'customer' to 'user_id'" in log
    assert "Traceback" not in log
