"""Shared fixtures: one local Ray for the whole session, because starting it dominates otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A private local Ray, dashboard off."""
    from timerec.data.cluster import connect, disconnect

    connect(address="", num_cpus=4)
    yield
    disconnect()
