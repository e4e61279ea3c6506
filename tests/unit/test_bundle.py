"""What is no bundle, or no longer one, is refused with a sentence."""

from __future__ import annotations

import hashlib
import json

import pytest

from timerec.bundle import Bundle
from timerec.schema import DataError
from timerec.sealed import FORMAT, HEAD, VERSION


@pytest.fixture
def folder(tmp_path):
    """The smallest folder that opens."""
    (tmp_path / "b" / "log").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x")
    files = {"model.safetensors": b"weights", "log/items.parquet": b"items"}
    for name, data in files.items():
        (tmp_path / "b" / name).write_bytes(data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    write(tmp_path / "b", {"format": FORMAT, "version": VERSION, "config": {}, "files": digests})
    return tmp_path / "b"


def write(folder, head):
    (folder / HEAD).write_text(json.dumps(head))


def head_of(folder):
    return json.loads((folder / HEAD).read_text())


def refused(folder, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        Bundle.open(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_whole_one_opens(folder):
    assert Bundle.open(folder).path == folder
    assert Bundle.open(str(folder)).config == {}


def test_a_flipped_byte(folder):
    (folder / "model.safetensors").write_bytes(b"weightz")
    refused(folder, "model.safetensors: is missing or damaged")
    assert Bundle.open(folder, verify=False).path == folder


def test_a_missing_file(folder):
    (folder / "log" / "items.parquet").unlink()
    refused(folder, "items.parquet: is missing or damaged")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "7", '{"format": "other"}', "\udcff"])
def test_a_foreign_folder(folder, content):
    if content is None:
        (folder / HEAD).unlink()
    else:
        (folder / HEAD).write_bytes(content.encode(errors="surrogateescape"))
    refused(folder, "bundle")


def test_no_folder_at_all(tmp_path):
    refused(tmp_path / "nothing", "is no timerec bundle")


@pytest.mark.parametrize("version", [VERSION + 1, None, "1"])
def test_another_version(folder, version):
    write(folder, head_of(folder) | {"version": version})
    refused(folder, f"bundle version {version} cannot be read")


@pytest.mark.parametrize("how", ["up", "absolute", "inside"])
def test_files_outside_are_not_touched(folder, how):
    name = {"up": "../secret", "absolute": str(folder.parent / "secret"), "inside": "log/../../secret"}[how]
    head = head_of(folder)
    head["files"][name] = hashlib.sha256(b"x").hexdigest()
    write(folder, head)
    with pytest.raises(DataError, match="is missing or damaged"):
        Bundle.open(folder)


@pytest.mark.parametrize("files", [None, [], 3, {"model.safetensors": None}])
def test_a_head_without_checksums(folder, files):
    head = head_of(folder) | {"files": files}
    if files is None:
        del head["files"]
    write(folder, head)
    with pytest.raises(DataError):
        Bundle.open(folder)
