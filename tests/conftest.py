"""Shared fixtures: one local Ray and one small trained run for the whole session, because they dominate otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.store_cases import RedisServer


class SmallRun(NamedTuple):
    """A data set directory and the run that was made of it."""

    data: Path
    out: Path

    @property
    def bundle(self) -> Path:
        return self.out / "bundle"


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A private local Ray, dashboard off."""
    from timerec.data.cluster import connect, disconnect

    connect(address="", num_cpus=4)
    yield
    disconnect()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that acknowledges what is on disk; tests keep apart by the prefix of their keys."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def small_run(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """The whole path once, on a small synthetic data set with small settings."""
    from tests.small_data import small_config, write_small
    from timerec.pipeline.run import run

    folder = tmp_path_factory.mktemp("small")
    made = SmallRun(write_small(folder / "data"), folder / "run")
    run(made.data, made.out, small_config())
    return made
