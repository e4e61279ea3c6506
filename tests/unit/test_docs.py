"""The pages say what the code does: settings, commands, options, files."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
import yaml

from serve_app.settings import Settings
from timerec.cli import app
from timerec.config import Config, load_config

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [path.name for path in PAGES]


def load_settings() -> ModuleType:
    """The module docs/settings.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_settings", ROOT / "docs" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(path: Path, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.S)


def commands(path: Path) -> list[list[str]]:
    """Words of every `timerec` command and `python -m jobs.…` in the bash blocks, comments and brackets removed."""
    found = []
    for block in blocks(path, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(re.sub(r"[\[\]…]", " ", line), comments=True)
            starts = [k for k, word in enumerate(words) if word.split("/")[-1] == "timerec" or word.startswith("jobs.")]
            if starts:
                found.append([words[starts[0]].split("/")[-1], *words[starts[0] + 1 :]])
    return found


@pytest.mark.parametrize("name", ["reference.md", "serving.md"])
def test_the_tables_of_settings_are_current(name: str) -> None:
    settings = load_settings()
    text = (settings.HERE / name).read_text()
    assert settings.page(text, settings.PAGES[name]()) == text, "run: python docs/settings.py"


def test_the_tables_have_every_setting_with_its_default() -> None:
    text = load_settings().reference()
    for section in ("data", "encoder", "forecaster", "fusion", "train", "evaluate", "cluster"):
        for name in getattr(Config(), section).model_dump():
            assert f"| `{section}.{name}` |" in text
    assert "| `data.val_quantile` | `0.8` | number, > 0, < 1 |" in text
    assert "| `train.precision` | `fp32` | `fp32`, `bf16`, `fp16` |" in text
    text = load_settings().serving()
    for section in ("gateway", "encoder", "forecaster", "fusion", "limits", "patience"):
        for name in getattr(Settings(bundle=Path("b")), section).model_dump():
            assert f"| `{section}.{name}` |" in text
    assert "| `bundle` | none | path |" in text and "| `gateway.max_ongoing_requests` | `320` |" in text


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        load_settings().page("no marks here", "a table")


def test_the_config_of_a_cluster_is_one_of_settings() -> None:
    from timerec.cli_serve import read_settings

    settings = read_settings(ROOT / "serve_app" / "config.yaml", {})
    assert settings.fusion.max_replicas == 8 and settings.store.startswith("redis://")


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_links_and_named_files_exist(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or (path.parent / target).exists(), target
    for name in re.findall(r"`((?:candidates|tests|pipeline|jobs|docs)/[\w./]*\w+\.\w+|[a-z_]+\.py)`", text):
        assert (ROOT / name).exists() or (ROOT / "timerec" / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_commands_and_their_options_exist(path: Path) -> None:
    root: Any = typer.main.get_command(app)
    for first, *words in commands(path):
        if first.startswith("jobs."):
            assert (ROOT / "jobs" / f"{first[5:]}.py").exists(), first
            words.insert(0, "run" if first == "jobs.pipeline" else first[5:])
        command = root
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= known | {"--debug"}, words
        for place, word in enumerate(words):
            if word == "--set" and "=" in words[place + 1] and "key" not in words[place + 1]:
                load_config(overrides=[words[place + 1]])


@pytest.mark.parametrize("path", PAGES, ids=IDS)
def test_blocks_of_python_and_yaml_can_be_read(path: Path, tmp_path: Path) -> None:
    for block in blocks(path, "python"):
        compile(block, path.name, "exec")
    for block in blocks(path, "yaml"):
        assert yaml.safe_load(block)
        (tmp_path / "settings.yaml").write_text(block)
        load_config(tmp_path / "settings.yaml")


def test_the_pages_show_commands_at_all() -> None:
    assert len([words for path in PAGES for words in commands(path)]) > 20
