"""Compiled kernels never outlive a change of what they were compiled from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import timerec

SHOW = "import os, timerec; print(os.environ['NUMBA_CACHE_DIR'])"


def cache_of(package: Path, **environment: str) -> Path:
    """The kernel cache that a fresh process chooses."""
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = kept | {"XDG_CACHE_HOME": "/somewhere", "PYTHONDONTWRITEBYTECODE": "1"} | environment
    done = subprocess.run([sys.executable, "-c", SHOW], cwd=package, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_a_changed_constant_of_another_file_moves_the_cache(tmp_path):
    shutil.copytree(Path(timerec.__file__).parent, tmp_path / "timerec", ignore=shutil.ignore_patterns("__pycache__"))
    before = cache_of(tmp_path)
    assert before.parent == Path("/somewhere/timerec/kernels")
    assert cache_of(tmp_path) == before
    (tmp_path / "timerec" / "cli.py").write_text("")
    assert cache_of(tmp_path) == before  # no kernel depends on it
    for name in ("eventlog.py", "clock.py", "candidates/habit.py", "candidates/without.py"):
        path = tmp_path / "timerec" / name
        path.write_text(path.read_text() + "\n")
        assert cache_of(tmp_path) != before
        before = cache_of(tmp_path)
    assert cache_of(tmp_path, NUMBA_CACHE_DIR="/mine") == Path("/mine")
