"""What ends a job's log, and which command each job runs."""

from __future__ import annotations

import ast
import sys
import threading
from pathlib import Path

import pytest

from jobs import entry
from timerec.cli import app

JOBS = sorted(path for path in Path(entry.__file__).parent.glob("*.py") if path.stem not in ("__init__", "entry"))


def test_the_summary_comes_after_workers_and_after_ray_has_gone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(words: list[str]) -> None:
        assert words == ["prepare", "--data", "x"]
        print('{"summary": 1}')
        worker = threading.Thread(target=print, args=("(worker) late line",))
        worker.start()
        worker.join()

    monkeypatch.setattr(entry, "main", command)
    monkeypatch.setattr(entry, "disconnect", lambda: print("ray says goodbye"))
    entry.run_command("prepare", ["--data", "x"])
    assert capsys.readouterr().out.splitlines() == ["(worker) late line", "ray says goodbye", '{"summary": 1}']


def test_a_fault_keeps_its_exit_code_and_still_leaves_ray(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    left = []
    monkeypatch.setattr(entry, "disconnect", lambda: left.append(True))
    with pytest.raises(SystemExit) as stop:
        entry.run_command("run", ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert left == [True]
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("timerec: ")
    assert "nowhere: is no folder" in seen.err
    assert "Traceback" not in seen.err


def test_options_come_from_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(entry, "main", seen.append)
    monkeypatch.setattr(entry, "disconnect", lambda: None)
    monkeypatch.setattr(sys, "argv", ["job", "--k", "3"])
    entry.run_command("recommend")
    assert seen == [["recommend", "--k", "3"]]


def test_there_is_a_job_for_every_stage() -> None:
    names = {path.stem for path in JOBS}
    assert names == {"pipeline", "prepare", "encode", "forecast", "finetune", "evaluate", "ablate", "recommend", "score"}


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_each_job_runs_the_command_of_its_name(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    commands = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
    assert commands == ["run" if path.stem == "pipeline" else path.stem]
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands[0] in known
