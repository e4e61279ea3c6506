"""The graph: gateway to forecaster, then to the fusion, which gathers candidates while the encoder reads.

`timerec serve` builds it on one machine; `serve deploy serve_app/config.yaml` on a cluster.
"""

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from serve_app.clock import shift_of
from serve_app.models import Model
from serve_app.settings import Scale, Settings
from timerec.online.digest import unpacked
from timerec.schema import Prepared
from timerec.sealed import LOG, read_head
from timerec.store.open import open_store

SERVICER = "serve_app.timerec_pb2_grpc.add_TimerecServicer_to_server"
CONTROLLER = ("SERVE_CONTROLLER_ACTOR", "serve")  # Serve's name for it; by another one replicas would only start later
QUEUED = 512  # requests that one caller lets wait for a part; more are refused at once


def build(settings: Settings) -> serve.Application:
    """The application of these settings.

    The bundle is verified here, a data set in its log's place is read, and the store asked, so that what is amiss starts
    nothing. A bundle that nobody has unpacked is unpacked by the first replica of each machine.

    Raises:
        DataError: bundle, data, store, keys or clock are not as they must be.
        StoreUnavailable: the store cannot be reached.
    """
    from serve_app.encoder import Encoder
    from serve_app.forecaster import Forecaster
    from serve_app.fusion import Fusion
    from serve_app.gateway import Gateway
    from serve_app.keys import Keys

    if "://" not in settings.store:  # replicas may run in another folder
        settings = settings.model_copy(update={"store": str(Path(settings.store).absolute())})
    if settings.keys:
        keys = settings.keys.absolute()
        Keys(keys)
        settings = settings.model_copy(update={"keys": keys})
    with open_store(settings.store) as store:
        store.ping()
    work = unpacked(settings.bundle, settings.folder, settings.data)
    read_head(settings.bundle, verify=work is None)
    if work is None and settings.data is not None:
        work = _read_elsewhere(settings.bundle, settings.folder, settings.data)
    log = settings.bundle / LOG if work is None else work / "prepared"
    manifest = json.loads((log / Prepared.MANIFEST).read_text())
    model = vars(Model.at(settings.bundle, settings.data))
    parts = (model, str(settings.folder.absolute()), settings.store)
    encoder: Any = _deployment("encoder", Encoder, settings.encoder).bind(*parts)
    forecaster: Any = _deployment("forecaster", Forecaster, settings.forecaster).bind(*parts)
    fusion: Any = _deployment("fusion", Fusion, settings.fusion).bind(*parts, encoder, forecaster)
    gateway: Any = _deployment("gateway", serve.ingress()(Gateway), settings.gateway)
    shift = shift_of(settings.clock, int(manifest["last"]))
    bound: serve.Application = gateway.bind(settings.model_dump(mode="json"), model, shift, encoder, forecaster, fusion)
    return bound


def start(settings: Settings, host: str, port: int, grpc_port: int | None = None) -> None:
    """Build and run the application on this machine's Serve; returns when it answers. Ray must be connected.

    Args:
        grpc_port: Serve listens there for gRPC, on every interface; None: nowhere.

    Raises:
        DataError, StoreUnavailable: see `build`; then nothing was started.
    """
    graph = build(settings)
    # its description is not told without a key, as that of HTTP is not
    grpc = {"port": grpc_port, "grpc_servicer_functions": [SERVICER], "enable_reflection": False} if grpc_port else None
    with ThreadPoolExecutor(1) as beside:  # whose end is waited for: it must not find Ray shut down, and start another one
        http = {"host": host, "port": port}
        proxies = beside.submit(serve.start, http_options=http, grpc_options=grpc, logging_config={"log_level": "WARNING"})
        _wait_for_controller(proxies)
        try:
            serve.run(graph, name="timerec", route_prefix="/")  # `proxies` is done when they listen: replicas start meanwhile
        except Exception:
            proxies.result()  # a proxy that failed is the cause, and told
            raise
        proxies.result()


def _wait_for_controller(starting: Future[None]) -> None:
    """Until Serve's controller has its name, so that nothing else starts another one."""
    while not starting.done():
        try:
            ray.get_actor(*CONTROLLER)
            return
        except ValueError:
            time.sleep(0.05)
    starting.result()


def options_of(scale: Scale) -> dict[str, Any]:
    """Options of a deployment of this scale."""
    told: dict[str, Any] = {
        "max_ongoing_requests": scale.max_ongoing_requests,
        "max_queued_requests": QUEUED,
        "ray_actor_options": {"num_cpus": scale.num_cpus},
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
        "graceful_shutdown_timeout_s": 20,
    }
    if scale.max_replicas == scale.min_replicas:
        return {**told, "num_replicas": scale.min_replicas}
    scaling = {"min_replicas", "max_replicas", "target_ongoing_requests", "upscale_delay_s", "downscale_delay_s"}
    return {**told, "autoscaling_config": scale.model_dump(include=scaling)}


def _deployment(name: str, part: type, scale: Scale) -> serve.Deployment:
    return serve.deployment(name=name, **options_of(scale))(part)


def _read_elsewhere(bundle: Path, folder: Path, data: Path) -> Path:
    """Where a data set is read now, by a process that ends: this one is small, and what reading imports stays for good."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task: Any = ray.remote(max_calls=1, num_cpus=0)(_read)  # what the decorator makes of it is not known to type checkers
    try:
        given = (bundle.absolute(), folder.absolute(), data.absolute())
        found: Path = ray.get(task.options(scheduling_strategy=here).remote(*given))
    except RayTaskError as error:
        raise error.cause from None
    return found


def _read(bundle: Path, folder: Path, data: Path) -> Path:
    from timerec.data.cluster import connect
    from timerec.online.base import open_base

    connect()
    return open_base(bundle, folder, data).files.prepared.parent
