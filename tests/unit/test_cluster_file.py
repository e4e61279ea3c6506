"""`cluster.yaml` against the schema that Ray ships, and against what the project needs of a cluster."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The file's content."""
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Ray's schema of launcher files; Ray itself is not imported."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations
    return json.loads((Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json").read_text())


def test_it_is_valid(cluster: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(cluster, schema)


@pytest.mark.parametrize(("key", "value"), [("head_node", {}), ("max_workers", "many"), ("setup_commands", 3)])
def test_the_schema_sees_mistakes(cluster: dict[str, Any], schema: dict[str, Any], key: str, value: Any) -> None:
    broken = copy.deepcopy(cluster) | {key: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_there_is_a_head_a_cpu_pool_and_a_gpu_pool_that_scale(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert set(types) == {"head", "cpu", "gpu"}
    assert cluster["head_node_type"] == "head"
    pools = [types["cpu"], types["gpu"]]
    assert all(pool["min_workers"] < pool["max_workers"] for pool in pools)
    assert sum(pool["max_workers"] for pool in pools) <= cluster["max_workers"]


def test_what_is_installed_is_pinned(cluster: dict[str, Any]) -> None:
    installs = [command for command in cluster["setup_commands"] if "pip install" in command]
    assert len(installs) == 2
    assert all("-c /home/ubuntu/timerec/constraints.txt" in command for command in installs)
    assert cluster["file_mounts"] == {"/home/ubuntu/timerec": "."}


def test_no_exclusion_reaches_into_the_package(cluster: dict[str, Any]) -> None:
    folders = {path.name for package in ("timerec", "jobs") for path in (ROOT / package).rglob("*") if path.is_dir()}
    for pattern in cluster["rsync_exclude"]:  # a pattern without a leading slash holds at any depth
        assert pattern.strip("/") not in folders - {"__pycache__"} | {"timerec", "jobs"}, pattern


def test_every_ray_starts_with_the_same_environment(cluster: dict[str, Any]) -> None:
    def environment(commands: list[str]) -> set[str]:
        return set(re.findall(r"\b(?:RAY|OMP)_\w+=\S+", commands[-1]))

    head = environment(cluster["head_start_ray_commands"])
    assert head == environment(cluster["worker_start_ray_commands"])
    assert {"RAY_AUTH_MODE=disabled", "OMP_NUM_THREADS=1"} <= head
    assert "--dashboard-host=127.0.0.1" in cluster["head_start_ray_commands"][-1]
