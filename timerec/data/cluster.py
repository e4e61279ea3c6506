"""Connecting to Ray: a private local one by default, a running cluster where an address is given."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_USE_DATASOURCE_V2": "0",  # slower and heavier than the first one
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # the lower levels are in Ray's own log files
    "RAY_AUTH_MODE": "disabled",  # jobs want one that is set; a cluster's own setting wins
    "OMP_NUM_THREADS": "1",  # two OpenMP threads a worker collapse when workers compete for cores
}


def environment() -> None:
    """Set what Ray reads from the environment when it is imported; what is set already stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def connect(address: str = "", num_cpus: int | None = None) -> None:
    """Connect this process to Ray, once; a second call is a no-op.

    Args:
        address: a Ray address; empty means RAY_ADDRESS, or else a private local Ray with the dashboard off.
        num_cpus: logical CPUs of the private Ray; by default the machine's cores plus four, since drivers and
            data tasks wait more than they compute.
    """
    environment()
    import ray  # after the environment: Ray reads it on import

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if "ray.data" in sys.modules:  # perhaps before the environment was set; not imported here, since that takes a second
        _quiet(ray.data.DataContext.get_current())
    if ray.is_initialized():
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address:
        ray.init(address=address, logging_level=logging.WARNING)
    else:
        cpus = num_cpus or (os.cpu_count() or 2) + 4
        # "local": another Ray on this machine, or what an earlier one left behind, must not be joined by chance
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False)


def _quiet(context: Any) -> None:
    context.use_datasource_v2 = False
    context.enable_progress_bars = False


def disconnect() -> None:
    """Leave Ray; a private local one is stopped."""
    import ray

    if ray.is_initialized():
        ray.shutdown()
