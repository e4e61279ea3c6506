"""A bundle is made ready ahead of serving, or beside its start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from serve_app.app import build
from serve_app.settings import Settings
from tests.conftest import SmallRun
from tests.serve_cases import ROOT
from timerec import cli_serve
from timerec.bundle import VECTORS
from timerec.cli_unpack import unpacking
from timerec.online.base import open_base
from timerec.online.digest import unpacked
from timerec.schema import DataError
from timerec.sealed import HEAD, checksum

REST: dict[str, Any] = {
    "store": "",
    "host": "127.0.0.1",
    "grpc_port": None,
    "proxy": "serve",
    "keys": None,
    "clock": "",
    "config": None,
}

# what requests make replicas run
SERVING = """
import sys
from pathlib import Path
from timerec.online.base import open_base
from timerec.online.messages import Ask, Seen
from timerec.online.similar import Likeness
from timerec.online.system import System
from timerec.store.events import Event, Stored

base = open_base(Path(sys.argv[1]), Path(sys.argv[3]))
system = System(base)
at = int(base.state().manifest["last"]) + 400 * 86400
system.take([Stored(seq, Event(str(seq), "new", item, at - 9, "buy", 1.0), 0.0) for seq, item in enumerate(["103", "new"], 1)])
history = (Seen("103", at - 60, "buy", 1.0),)
asks = [Ask("1003", at), Ask("new", at), Ask(None, at, history=history), Ask("1004", at, items=("100", "103"))]
for ask in [*asks, Ask("1005", at, category="bread"), Ask("1006", at, diversity=0.5), Ask("1007", at, explain=True)]:
    assert system.answer([ask])[0].items
system.answer(asks)
assert Likeness(system.live).like("103", 5, at) and system.forecasts.item("103", at)
"""


def test_the_command_says_where_it_is_and_what_is_amiss(small_run: SmallRun, tmp_path: Path) -> None:
    def run(bundle: Path) -> subprocess.CompletedProcess[str]:
        words = ("unpack", "--bundle", str(bundle), "--folder", str(tmp_path / "folder"))
        return subprocess.run([sys.executable, "-m", "timerec.cli", *words], capture_output=True, text=True)

    done = run(small_run.bundle)
    assert done.returncode == 0, done.stderr
    assert f"unpacked: {unpacked(small_run.bundle, tmp_path / 'folder')}" in done.stderr
    wrong = run(tmp_path)
    assert wrong.returncode == 2 and "is no timerec bundle" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.slow  # compiles every kernel of serving
def test_what_was_made_ready_compiles_nothing_more(small_run: SmallRun, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words, str(small_run.bundle), "--folder", str(tmp_path / "folder")]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=there)

    def compiled() -> set[str]:
        return {path.name for path in cache.rglob("*.nbc")}

    cache = tmp_path / "cache"
    there = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    run("-m", "timerec.cli", "unpack", "--no-kernels", "--bundle")
    before = compiled()  # a log is built
    done = run("-m", "timerec.cli", "unpack", "--bundle")
    assert "compiling kernels" in done.stderr
    ready = compiled()
    run("-c", SERVING)
    assert ready > before and compiled() == ready


def test_it_is_unpacked_beside_and_who_opens_it_waits(small_run: SmallRun, tmp_path: Path) -> None:
    with unpacking(small_run.bundle, tmp_path) as check:
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*.lock")):
            assert time.monotonic() < until
            time.sleep(0.001)
        assert unpacked(small_run.bundle, tmp_path) is None
        work = open_base(small_run.bundle, tmp_path).files.prepared.parent
        check()
    assert unpacked(small_run.bundle, tmp_path) == work


def test_one_that_is_ended_in_the_middle_is_begun_anew(small_run: SmallRun, tmp_path: Path) -> None:
    with unpacking(small_run.bundle, tmp_path):
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*/prepared")):
            assert time.monotonic() < until
            time.sleep(0.001)
    assert unpacked(small_run.bundle, tmp_path) is None
    assert open_base(small_run.bundle, tmp_path).state().log.n_items > 0


def test_what_is_unpacked_already_needs_no_process_and_is_not_written_to(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_base(small_run.bundle, tmp_path)
    next(tmp_path.glob("*.lock")).unlink()
    monkeypatch.setattr(subprocess, "Popen", None)
    with unpacking(small_run.bundle, tmp_path):
        open_base(small_run.bundle, tmp_path)
    assert not list(tmp_path.glob("*.lock"))


def test_a_folder_that_cannot_be_written_is_a_sentence(small_run: SmallRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = r"file/folder: .* cannot be unpacked there \(Not a directory\): make room, or name another folder"
    with pytest.raises(DataError, match=sentence):
        open_base(small_run.bundle, tmp_path / "file" / "folder")

    def until_it_fails(check: Callable[[], None]) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            check()
            time.sleep(0.1)

    with unpacking(small_run.bundle, tmp_path / "file" / "folder") as check, pytest.raises(DataError, match=sentence):
        until_it_fails(check)


@pytest.mark.parametrize("with_data", [False, True])
def test_the_service_starts_beside(small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_data: bool) -> None:
    seen = []

    def run(settings: Settings, *_: object) -> None:
        until = time.monotonic() + (5 if with_data else 60)
        while time.monotonic() < until and not list(settings.folder.glob("*.lock")):
            time.sleep(0.01)
        seen.append(bool(list(settings.folder.glob("*.lock"))))

    monkeypatch.setattr(cli_serve, "_run", run)
    monkeypatch.setattr("serve_app.environment.prepare", lambda *_: "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    cli_serve.serve(bundle=small_run.bundle, data=tmp_path if with_data else None, port=0, **REST)
    assert seen == [not with_data]


def test_a_service_without_room_to_unpack_ends_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        if started:
            raise DataError("no room")

    def start(*_: object) -> None:
        started.append(True)
        raise RuntimeError("deploying failed")

    started: list[bool] = []
    for name in ("connect", "disconnect", "environment"):
        monkeypatch.setattr(f"timerec.data.cluster.{name}", lambda *_, **__: None)
    monkeypatch.setattr("ray.serve.shutdown", lambda: None)
    monkeypatch.setattr("serve_app.app.start", start)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(DataError, match="no room"):
            cli_serve._run(None, "127.0.0.1", "127.0.0.1", 0, None, check)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_a_folder_that_is_no_bundle_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no timerec bundle"), unpacking(tmp_path, tmp_path / "folder"):
        pytest.fail("the block ran")


def test_a_damaged_bundle_builds_no_application(small_run: SmallRun, tmp_path: Path) -> None:
    bundle = shutil.copytree(small_run.bundle, tmp_path / "bundle")
    (bundle / "tables.safetensors").write_bytes(b"other")
    settings = Settings(bundle=bundle, folder=tmp_path / "folder", store=str(tmp_path / "events.db"))
    with pytest.raises(DataError, match=r"tables.safetensors: is missing or damaged"):
        build(settings)
    assert not settings.folder.exists()


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
