"""A bundle is made ready ahead of serving, or beside its start."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from serve_app.app import build
from serve_app.settings import Settings
from tests.conftest import SmallRun
from timerec.bundle import VECTORS
from timerec.cli_unpack import unpacking
from timerec.online.base import open_base
from timerec.online.digest import unpacked
from timerec.schema import DataError
from timerec.sealed import HEAD, checksum


def until_unpacked(bundle: Path, folder: Path) -> Path:
    """Where it is, within a minute."""
    until = time.monotonic() + 60
    while (found := unpacked(bundle, folder)) is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def test_the_command_says_where_it_is_and_what_is_amiss(small_run: SmallRun, tmp_path: Path) -> None:
    def run(bundle: Path) -> subprocess.CompletedProcess[str]:
        words = ("unpack", "--bundle", str(bundle), "--folder", str(tmp_path / "folder"))
        return subprocess.run([sys.executable, "-m", "timerec.cli", *words], capture_output=True, text=True)

    done = run(small_run.bundle)
    assert done.returncode == 0, done.stderr
    assert f"unpacked: {unpacked(small_run.bundle, tmp_path / 'folder')}" in done.stderr
    wrong = run(tmp_path)
    assert wrong.returncode == 2 and "is no timerec bundle" in wrong.stderr and "Traceback" not in wrong.stderr


def test_it_is_unpacked_beside_and_who_opens_it_maps_that(small_run: SmallRun, tmp_path: Path) -> None:
    with unpacking(small_run.bundle, tmp_path):
        work = until_unpacked(small_run.bundle, tmp_path)
        written = (work / "done.json").stat().st_mtime_ns
        assert open_base(small_run.bundle, tmp_path).files.prepared.parent == work
    assert (work / "done.json").stat().st_mtime_ns == written


def test_what_is_unpacked_already_needs_no_process(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_base(small_run.bundle, tmp_path)
    monkeypatch.setattr(subprocess, "Popen", None)
    with unpacking(small_run.bundle, tmp_path):
        pass


def test_it_goes_with_the_service_that_wanted_it(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Kept(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: object) -> None:
            super().__init__([sys.executable, "-c", "import time; time.sleep(600)"])
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Kept)
    with unpacking(small_run.bundle, tmp_path):
        assert started[0].poll() is None
    assert started[0].poll() is not None


def test_a_folder_that_is_no_bundle_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no timerec bundle"), unpacking(tmp_path, tmp_path / "folder"):
        pytest.fail("the block ran")


def test_a_damaged_bundle_builds_no_application(small_run: SmallRun, tmp_path: Path) -> None:
    bundle = shutil.copytree(small_run.bundle, tmp_path / "bundle")
    (bundle / "tables.safetensors").write_bytes(b"other")
    settings = Settings(bundle=bundle, folder=tmp_path / "folder", store=str(tmp_path / "events.db"))
    with pytest.raises(DataError, match=r"tables.safetensors: is missing or damaged"):
        build(settings)


def test_families_come_with_the_bundle(small_run: SmallRun, tmp_path: Path) -> None:
    bundle = shutil.copytree(small_run.bundle, tmp_path / "bundle")
    arrays = load_file(bundle / VECTORS)
    arrays["family"] = np.arange(len(arrays["family"]), dtype=np.int32) % 3
    save_file(arrays, bundle / VECTORS)
    head = json.loads((bundle / HEAD).read_text())
    head["files"][VECTORS] = checksum(bundle / VECTORS)
    (bundle / HEAD).write_text(json.dumps(head))
    base = open_base(bundle, tmp_path / "folder")
    np.testing.assert_array_equal(base.state().sources.family, arrays["family"])
    np.testing.assert_array_equal(base.bundle.state(tmp_path / "work").sources.family, arrays["family"])
