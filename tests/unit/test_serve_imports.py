"""A service starts as fast as it imports: its replicas leave out what only training and preparing need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = ("ray.data", "ray.train", "scipy.linalg", "sklearn", "transformers", "matplotlib")


@pytest.mark.parametrize("part", ["app", "gateway", "ranking", "reading", "foreseeing"])
def test_a_replica_imports_nothing_that_it_does_not_need(part: str) -> None:
    script = f"import sys, ray.serve, serve_app.{part}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-500:]


def test_the_environment_says_how_ray_data_reads() -> None:
    script = (
        "from timerec.data.cluster import environment; environment(); import ray.data; "
        "context = ray.data.DataContext.get_current(); print(context.use_datasource_v2, context.enable_progress_bars)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == "False False", done.stdout + done.stderr[-500:]


def test_who_only_unpacks_a_bundle_imports_no_network_and_no_ray() -> None:
    heavy = (*HEAVY, "torch", "ray")
    script = f"import sys, timerec.cli, timerec.online.base; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-500:]
