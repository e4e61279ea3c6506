"""Starting the graph from a process that stays small."""

from __future__ import annotations

from typing import Any

import ray
from ray import serve
from ray.exceptions import RayTaskError

from serve_app.settings import Settings

SERVICER = "serve_app.timerec_pb2_grpc.add_TimerecServicer_to_server"


def start(settings: Settings, host: str, port: int, grpc_port: int | None = None) -> None:
    """Build and run the application on this machine's Serve; returns when it answers. Ray must be connected.

    Args:
        grpc_port: Serve listens there for gRPC, on every interface; None: nowhere.

    Raises:
        DataError, StoreUnavailable: see `serve_app.app.build`; then nothing was started.
    """
    # its description is not told without a key, as that of HTTP is not
    grpc = {"port": grpc_port, "grpc_servicer_functions": [SERVICER], "enable_reflection": False} if grpc_port else None
    serve.start(http_options={"host": host, "port": port}, grpc_options=grpc, logging_config={"log_level": "WARNING"})
    maker: Any = _Starter  # what the decorator makes of a class is not known to type checkers
    starter = maker.remote()
    try:
        ray.get(starter.start.remote(settings.model_dump(mode="json")))
    except RayTaskError as error:
        raise error.cause from None
    finally:
        ray.kill(starter)


@ray.remote(num_cpus=0)
class _Starter:
    """Ends when the graph runs, and with it the half gigabyte that building takes."""

    def start(self, settings: dict[str, Any]) -> None:
        from serve_app.app import build
        from timerec.data.cluster import connect

        connect()
        serve.run(build(Settings.model_validate(settings)), name="timerec", route_prefix="/")
