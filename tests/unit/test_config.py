"""Settings: presets, files and overrides, the later ones winning; what cannot work is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from timerec.config import PRESETS, Config, load_config
from timerec.schema import DataError


def test_preset_then_file_then_override(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("preset: news\ndata:\n  step: day\ntrain:\n  epochs: 5\n")
    config = load_config(file, overrides=["train.epochs=7", "data.repeats=no"])
    assert (config.preset, config.data.step, config.train.epochs, config.data.repeats) == ("news", "day", 7, "no")
    assert load_config(preset="video").data.repeats == "no"
    assert load_config() == Config()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset: str) -> None:
    assert load_config(preset=preset).preset == preset


def test_an_override_leaves_the_presets_as_they_are() -> None:
    weights = load_config(preset="music", overrides=["data.event_weights.skip=0.5"]).data.event_weights
    assert weights == {"play": 1.0, "skip": 0.5}
    assert load_config(preset="music").data.event_weights == {"play": 1.0, "skip": 0.0}


@pytest.mark.parametrize("word", ["yes", "no", "auto"])
def test_yes_and_no_are_words_not_yaml_booleans(word: str) -> None:
    assert load_config(overrides=[f"fusion.item_ids={word}"]).fusion.item_ids == word


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("train.epoch=3", "train.epoch"),
        ("train.learning_rate=-1", "train.learning_rate"),
        ("data.event_weights={dislike: -1}", "data.event_weights"),
        ("fusion.heads=6", "fusion"),
        ("train.epochs", "--set train.epochs"),
    ],
)
def test_what_cannot_work_is_refused_by_name(override: str, named: str) -> None:
    with pytest.raises(DataError) as refused:
        load_config(overrides=[override])
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unreadable_file_and_an_unknown_preset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent.yaml"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(DataError, match="ecommerce"):
        load_config(preset="shoes")
