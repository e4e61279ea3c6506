"""`timerec serve`: the whole graph on this machine, until Ctrl-C; and its keys."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from timerec.cli_options import console
from timerec.cli_unpack import compiled, unpacking
from timerec.schema import DataError


def serve(
    bundle: Annotated[Path | None, typer.Option("--bundle", help="a run's bundle folder")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="data set directory whose log takes the bundle's place")] = None,
    store: Annotated[str, typer.Option("--store", help="event store: a path or redis://HOST:PORT/DB")] = "",
    host: Annotated[str, typer.Option("--host", help="another one than this machine wants --keys")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8000,
    grpc_port: Annotated[
        int | None, typer.Option("--grpc-port", min=1, max=65535, help="gRPC, too, on every interface; wants --keys")
    ] = None,
    proxy: Annotated[str, typer.Option("--proxy", help="haproxy, serve (Serve's own), or auto: HAProxy where it is")] = "auto",
    keys: Annotated[Path | None, typer.Option("--keys", help="file of API keys")] = None,
    clock: Annotated[str, typer.Option("--clock", help="wall, log (begins at the log's end) or an ISO time")] = "",
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of serving settings")] = None,
) -> None:
    """Answer requests over HTTP, and gRPC where asked to, from a bundle and every event that comes in."""
    from serve_app.environment import prepare
    from serve_app.keys import Keys

    given = {"bundle": bundle, "data": data, "store": store, "keys": keys, "clock": clock}
    settings = read_settings(config, {name: value for name, value in given.items() if value})
    if not is_loopback(host) and settings.keys is None:
        raise DataError(f"--host {host}: whoever reaches it could ask: give --keys FILE (`timerec serve-key NAME --keys FILE`)")
    if grpc_port is not None:
        _check_grpc(grpc_port, port, settings.keys)
        if proxy == "haproxy":
            raise DataError("--proxy haproxy: gRPC comes through Serve's own proxy: leave one of --proxy and --grpc-port out")
        proxy = "serve"
    if settings.keys is not None:
        Keys(settings.keys)  # says what is wrong with them before anything starts
    _check_free(host, port, f"--host {host} --port {port}")
    serves_host = prepare(proxy, settings.limits.body_seconds, host)
    if settings.data is None:
        with unpacking(settings.bundle, settings.folder) as check:
            _run(settings, host, serves_host, port, grpc_port, check)
    else:  # which is read with Ray, once that is there
        _run(settings, host, serves_host, port, grpc_port)


def serve_key(
    name: str, keys: Annotated[Path, typer.Option("--keys", help="file of API keys, made where there is none")]
) -> None:
    """Make an API key. It is shown once; the file keeps its hash."""
    from serve_app.keys import add_key

    print(add_key(keys, name))
    console.print(f"Key {name} is in {keys} (hashed). Send it as `Authorization: Bearer KEY`.")


def read_settings(file: Path | None, given: dict[str, Any]) -> Any:
    """The serving settings of a file, with what the command line gives on top.

    Raises:
        DataError: the file cannot be read, or a setting is unknown, missing or out of range; the sentence names it.
    """
    from serve_app.settings import Settings

    tree: Any = {}
    if file:
        try:
            tree = yaml.safe_load(file.read_text()) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise DataError(f"{file}: cannot be read as YAML settings ({error})") from None
        if not isinstance(tree, dict):
            raise DataError(f"{file}: expected settings such as 'bundle: runs/shop/bundle'")
        if "applications" in tree:  # a config of `serve deploy`
            tree = tree["applications"][0].get("args", {})
    try:
        return Settings.model_validate({**tree, **given})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        cure = " (give --bundle RUN/bundle)" if name == "bundle" else ""
        raise DataError(f"setting {name}: {first['msg']}{cure}") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_grpc(port: int, http_port: int, keys: Path | None) -> None:
    if keys is None:
        raise DataError(
            f"--grpc-port {port}: Serve listens for gRPC on every interface, so whoever reaches this machine could ask: "
            "give --keys FILE (`timerec serve-key NAME --keys FILE`)"
        )
    if port == http_port:
        raise DataError(f"--grpc-port {port}: HTTP is there: choose another")
    try:
        import serve_app.timerec_pb2_grpc  # noqa: F401, refuses older releases of gRPC and protobuf
    except Exception as error:
        raise DataError(f"--grpc-port {port}: gRPC cannot be used ({error}): pip install 'timerec[grpc]'") from None
    _check_free("0.0.0.0", port, f"--grpc-port {port}")


def _check_free(host: str, port: int, given: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise DataError(f"{given}: cannot be listened on ({error.strerror}): choose others") from None


def _run(
    settings: Any, host: str, serves_host: str, port: int, grpc_port: int | None, check: Callable[[], None] = lambda: None
) -> None:
    """Run the service until somebody ends it; `check` raises where what it needs beside Ray has failed."""
    from timerec.data.cluster import connect, disconnect, environment

    environment()
    console.print("starting Ray …")
    import ray  # noqa: F401, before two threads do

    # Serve is imported while Ray's processes come up; these end with the main thread, so Ray is started there
    threading.Thread(target=_import_serve).start()
    connect(num_cpus=max(8, os.cpu_count() or 1))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as Ctrl-C does; after Ray, which sets its own
    from ray import serve as ray_serve

    from serve_app.app import start

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        check()
        first = "" if compiled() else " and compiling kernels, the first time on a machine: a minute or two"
        console.print(f"starting gateway, encoder, forecaster and fusion{first} …", soft_wrap=True)
        try:
            start(settings, serves_host, port, grpc_port)
        except Exception:
            check()  # the cause, where replicas did not start for want of it
            raise
        if grpc_port is not None:
            console.print(f"gRPC: port {grpc_port} of every interface", highlight=False)
        console.print(f"ready: http://{host}:{port}/  (Ctrl-C ends it)", highlight=False)
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("stopping: requests in work are answered first …")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        with redirect_stdout(None):  # where Ray calls the end of Serve's controller a failure that it will try again
            ray_serve.shutdown()
            disconnect()


def _import_serve() -> None:
    with suppress(Exception):  # whoever imports it next says what is wrong
        import_module("serve_app.app")
