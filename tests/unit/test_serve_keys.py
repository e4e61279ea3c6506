"""API keys and rates."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from serve_app.keys import Keys, Rates, add_key
from timerec.schema import DataError


def test_a_key_is_known_by_its_hash_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    shop, admin = add_key(path, "shop"), add_key(path, "admin-1")
    assert shop not in path.read_text() and stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = Keys(path)
    assert (keys.name(shop), keys.name(admin)) == ("shop", "admin-1")
    for wrong in ("", shop[:-1], shop + " ", "shop", "\ud800", "é"):
        assert keys.name(wrong) is None


def test_a_file_whose_last_line_does_not_end_gets_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    add_key(path, "ops")
    path.write_text(path.read_text().rstrip("\n"))
    key = add_key(path, "shop")
    assert Keys(path).name(key) == "shop"


def test_names_are_used_once_and_are_names(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    add_key(path, "shop")
    with pytest.raises(DataError, match="has a key named shop"):
        add_key(path, "shop")
    for name in ("", "a b", "a:b", "x" * 65, "a\nb"):
        with pytest.raises(DataError, match="use up to 64"):
            add_key(path, name)
    with pytest.raises(DataError, match="cannot be written"):
        add_key(tmp_path / "none" / "keys.txt", "shop")


@pytest.mark.parametrize(
    ("text", "words"), [("", "holds no key"), ("# only words\n", "holds no key"), ("shop:abc\n", "line 1: is no key")]
)
def test_a_file_without_sound_keys_is_told(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        Keys(path)
    with pytest.raises(DataError, match="cannot be read"):
        Keys(tmp_path / "none.txt")


def test_each_name_has_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("serve_app.keys.time.monotonic", lambda: now[0])
    rates = Rates(2.0)
    assert [rates.wait("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.5)]
    assert rates.wait("b") == 0.0
    now[0] += 0.5
    assert (rates.wait("a"), rates.wait("a")) == (0.0, pytest.approx(0.5))
    now[0] += 60
    assert [rates.wait("a") == 0.0 for _ in range(3)] == [True, True, False]  # a pause saves up no more than a second's worth
    assert all(Rates(0).wait("a") == 0.0 for _ in range(100))
