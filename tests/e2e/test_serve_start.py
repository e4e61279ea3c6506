"""What `timerec serve` says instead of starting."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.keys import add_key
from tests.serve_cases import ROOT, free_port

COMMAND = [sys.executable, "-m", "timerec.cli"]

pytestmark = pytest.mark.slow  # starts the service, which takes a minute on two busy cores


def refused(*words: str) -> str:
    """The one sentence of a command that ends with 2."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_settings_hosts_and_ports_are_told_before_anything_starts(tmp_path: Path) -> None:
    assert "give --bundle RUN/bundle" in refused("serve")
    open_host = refused("serve", "--bundle", "b", "--host", "0.0.0.0")
    assert "give --keys FILE" in open_host
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "cannot be listened on" in refused("serve", "--bundle", "b", "--port", str(taken.getsockname()[1]))
    unknown = refused("serve", "--bundle", "b", "--port", str(free_port()), "--proxy", "nginx")
    assert "expected one of auto, haproxy, serve" in unknown
    settings = tmp_path / "settings.yaml"
    settings.write_text("bundle: b\nfusion: {min_replicas: 3, max_replicas: 2}\n")
    assert "setting fusion" in refused("serve", "--config", str(settings))
    settings.write_text("bundle: b\nfusions: 3\n")
    assert "setting fusions" in refused("serve", "--config", str(settings))


def test_grpc_wants_keys_and_a_port_of_its_own(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    add_key(keys, "shop")
    no_keys = refused("serve", "--bundle", "b", "--grpc-port", str(free_port()))
    assert "on every interface" in no_keys and "give --keys FILE" in no_keys
    port = str(free_port())
    same = refused("serve", "--bundle", "b", "--keys", str(keys), "--port", port, "--grpc-port", port)
    assert "HTTP is there" in same
    through = refused("serve", "--bundle", "b", "--keys", str(keys), "--grpc-port", port, "--proxy", "haproxy")
    assert "gRPC comes through Serve's own proxy" in through
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = str(taken.getsockname()[1])
        told = refused("serve", "--bundle", "b", "--keys", str(keys), "--port", port, "--grpc-port", busy)
        assert f"--grpc-port {busy}: cannot be listened on" in told


@pytest.mark.parametrize(("option", "words"), [("--bundle", "is no timerec bundle"), ("--keys", "cannot be read")])
def test_a_missing_bundle_or_key_file_is_a_sentence(tmp_path: Path, option: str, words: str) -> None:
    given = {"--bundle": str(tmp_path / "none"), "--port": str(free_port()), "--store": str(tmp_path / "events.db")}
    given |= {option: str(tmp_path / "nothing")}
    assert words in refused("serve", *(word for pair in given.items() for word in pair))


def test_a_key_is_made_and_shown_once(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    done = subprocess.run([*COMMAND, "serve-key", "shop", "--keys", str(keys)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and len(done.stdout.strip()) > 30 and done.stdout.strip() not in keys.read_text()
    assert "has a key named shop" in refused("serve-key", "shop", "--keys", str(keys))
