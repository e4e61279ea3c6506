"""What Ray Serve reads from the environment when it is imported, for a service on one machine."""

import os
import secrets

# bytes of one gRPC message: Serve would take two gigabytes from anybody, before the gateway asks for a key; answers may be large
LARGEST = 64 << 20


def prepare() -> None:
    """Serve's quick paths; and a token that only this run knows, since some of Ray's own ports listen on every interface."""
    os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")
    os.environ.setdefault("RAY_SERVE_ENABLE_DIRECT_INGRESS", "0")  # a port a replica, and half a minute of waiting at the end
    os.environ.setdefault("RAY_SERVE_GRPC_MAX_MESSAGE_SIZE", str(LARGEST))
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
