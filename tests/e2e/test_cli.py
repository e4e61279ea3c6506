"""The command line on bad input: exit code 2 and one sentence; a traceback only with --debug."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.small_data import small_log, write_small
from timerec.cli import main


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def process(*words: object, cwd: Path) -> Done:
    """A command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80"}
    command = [sys.executable, "-m", "timerec.cli", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def timerec(ray_local: None, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Commands within this process, which has imported everything once."""

    def command(*words: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        return Done(int(stop.value.code or 0), *capfd.readouterr())

    return command


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder for a broken data set."""
    (tmp_path / "bad").mkdir()
    return tmp_path / "bad"


def refused(done: Done, *words: str) -> None:
    sentence = done.err.strip().splitlines()[-1]
    assert done.code == 2, done.err
    assert sentence.startswith("timerec: ")
    for word in words:
        assert word in sentence
    assert "Traceback" not in done.err + done.out
    assert not done.out


def test_settings_are_judged_before_anything_runs(timerec, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = ("run", "--data", data, "--out", out)
    refused(timerec(*run, "--set", "train.speed=9"), "train.speed")
    refused(timerec(*run, "--set", "train.epochs=-1"), "train.epochs")
    refused(timerec(*run, "--set", "train.epochs"), "section.key=value")
    refused(timerec(*run, "--preset", "opera"), "unknown preset 'opera'", "travel")
    refused(timerec(*run, "--config", tmp_path / "none.yaml"), "none.yaml")
    refused(timerec(*run, "--val-from", "yesterday"), "--val-from yesterday", "ISO time")
    assert not out.exists()


def test_a_missing_folder_or_table(timerec, tmp_path: Path, bad: Path) -> None:
    refused(timerec("run", "--data", tmp_path / "nowhere", "--out", tmp_path / "out"), "nowhere", "interactions")
    refused(timerec("run", "--data", bad, "--out", tmp_path / "out"), "interactions")


def test_a_missing_column(timerec, tmp_path: Path, bad: Path) -> None:
    small_log().rename(columns={"timestamp": "when"}).to_parquet(bad / "interactions.parquet")
    refused(timerec("prepare", "--data", bad, "--out", tmp_path / "out"), "interactions.parquet", "timestamp", "when")


def test_an_unreadable_table(timerec, tmp_path: Path, bad: Path) -> None:
    (bad / "interactions.parquet").write_bytes(b"PAR1 and then nothing")
    refused(timerec("run", "--data", bad, "--out", tmp_path / "out"), "interactions.parquet")


def test_too_few_events(timerec, tmp_path: Path, bad: Path) -> None:
    small_log().head(20).to_csv(bad / "interactions.csv", index=False)
    refused(timerec("prepare", "--data", bad, "--out", tmp_path / "out"), "interactions.csv", "20", "at least")


def test_bad_bundles_and_requests(timerec, data: Path, tmp_path: Path) -> None:
    asked, out = tmp_path / "requests.csv", tmp_path / "out.parquet"
    pd.DataFrame({"request_id": [1], "user_id": [1003], "timestamp": [1_510_000_000]}).to_csv(asked, index=False)
    words = ("recommend", "--data", data, "--out", out)
    refused(timerec(*words, "--bundle", tmp_path / "none", "--requests", asked), "none", "no timerec bundle")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "bundle.json").write_text(json.dumps({"format": "timerec-bundle", "version": 99}))
    refused(timerec(*words, "--bundle", tmp_path / "newer", "--requests", asked), "version 99")
    refused(timerec(*words, "--bundle", tmp_path / "newer", "--requests", tmp_path / "no.csv"), "no.csv", "user_id")
    pd.DataFrame({"request_id": [1], "user_id": [1003]}).to_csv(asked, index=False)
    refused(timerec(*words, "--bundle", tmp_path / "newer", "--requests", asked), "no column timestamp")
    pd.DataFrame({"request_id": [1], "user_id": [3], "timestamp": ["noon"]}).to_csv(asked, index=False)
    refused(timerec(*words, "--bundle", tmp_path / "newer", "--requests", asked), "column timestamp", "noon")
    refused(timerec(*words, "--k", 0, "--bundle", tmp_path / "newer", "--requests", asked), "--k is 0")
    refused(timerec("show", "--bundle", tmp_path / "none"), "no timerec bundle")
    assert not out.exists()


def test_a_peer_or_baseline_that_is_missing_is_told_before_anything_is_done(timerec, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("run", "--data", data, "--out", out)
    refused(timerec(*words, "--set", "evaluate.peers=[sasrec]"), "make rectools")
    refused(timerec(*words, "--set", "evaluate.baselines=['no_such_module:here']"), "no_such_module")
    assert not (out / "prepared").exists()


def test_wrong_use(timerec, tmp_path: Path) -> None:
    refused(timerec("run", "--data", tmp_path), "--out")
    refused(timerec("dance"), "dance")
    refused(timerec("run", "--dta", tmp_path), "--dta")


def test_a_process_ends_with_two_and_without_a_traceback(tmp_path: Path) -> None:
    words = ("run", "--data", tmp_path / "none", "--out", tmp_path / "out")
    refused(process(*words, cwd=tmp_path), "none: is no folder", "interactions.parquet")
    debugged = process("--debug", *words, cwd=tmp_path)
    assert debugged.code != 0
    assert "Traceback" in debugged.err
    assert "DataError" in debugged.err


def test_help_names_every_command(tmp_path: Path) -> None:
    done = process("--help", cwd=tmp_path)
    assert done.code == 0
    commands = ("run", "prepare", "encode", "forecast", "finetune", "evaluate", "recommend", "score", "show", "data")
    assert all(command in done.out for command in commands)
