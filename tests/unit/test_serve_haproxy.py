"""What Serve is told of HAProxy."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from serve_app import environment, haproxy
from timerec.schema import DataError

CONFIG = """frontend prometheus
    bind :{metrics}
frontend http_frontend
    bind *:8000
listen stats
  bind *:{stats}
"""


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_statistics_are_on_this_machine_only_and_the_service_where_it_was_told(tmp_path: Path) -> None:
    told = haproxy.environment("/bin/echo", tmp_path)
    ports = {"stats": told["RAY_SERVE_HAPROXY_STATS_PORT"], "metrics": told["RAY_SERVE_HAPROXY_METRICS_PORT"]}
    config = Path(told["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"])
    for _ in range(2):  # Serve writes the file anew at each change
        config.write_text(CONFIG.format(**ports))
        words = [told["RAY_SERVE_HAPROXY_BINARY_PATH"], "-f", "a b"]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "-f a b\n"
        binds = [line.strip() for line in config.read_text().splitlines() if "bind" in line]
        assert binds == [f"bind 127.0.0.1:{ports['metrics']}", "bind *:8000", f"bind 127.0.0.1:{ports['stats']}"]


def test_every_file_is_in_the_services_own_folder(tmp_path: Path) -> None:
    paths = [value for value in haproxy.environment("/bin/echo", tmp_path).values() if value.startswith("/")]
    assert len(paths) == 7 and all(Path(path).is_relative_to(tmp_path) for path in paths)


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
