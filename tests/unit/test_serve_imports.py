"""A service starts as fast as it imports: its replicas leave out what only training and preparing need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("ray.data", "ray.train", "scipy.linalg", "sklearn", "transformers", "matplotlib")


@pytest.mark.parametrize("part", ["ranking", "reading", "foreseeing"])
def test_a_replica_imports_nothing_that_it_does_not_need(part: str) -> None:
    script = f"import sys, ray.serve, serve_app.{part}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-500:]
