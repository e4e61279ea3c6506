"""Write the table of all settings into reference.md: `python docs/settings.py`; with `--check` only compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from timerec.config import PRESETS, Config

PAGE = Path(__file__).parent / "reference.md"
BEGIN, END = "<!-- settings: begin, written by docs/settings.py -->", "<!-- settings: end -->"


def table() -> str:
    """Markdown of every section of `timerec.config.Config`, and of the presets."""
    lines: list[str] = []
    for section, found in Config.model_fields.items():
        model = found.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            lines += [f"`{section}`: {_allowed(found)}; default {_default(found)}.", ""]
            continue
        lines += [
            f"**{section}** · {(model.__doc__ or '').strip()}",
            "",
            "| setting | default | allowed | meaning |",
            "|---|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            meaning = (field.description or "").replace("|", "\\|")
            lines.append(f"| `{section}.{name}` | {_default(field)} | {_allowed(field)} | {meaning} |")
        lines.append("")
    lines += ["| preset | sets |", "|---|---|"]
    for preset, tree in PRESETS.items():
        settings = (f"`{section}.{name}={_plain(value)}`" for section, found in tree.items() for name, value in found.items())
        lines.append(f"| `{preset}` | {', '.join(settings)} |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    """A setting as `--set` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {part:g}" for name, part in value.items()) + "}"
    return str(value)


def page(text: str) -> str:
    """`text` with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE} has no marks for the table")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "empty" if value in ("", {}, []) else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" if value else "empty" for value in get_args(field.annotation))
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [f"{sign} {getattr(rule, name)}" for rule in field.metadata for name, sign in signs.items() if hasattr(rule, name)]
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(kind: Any) -> str:
    plain = {int: "whole number", float: "number", str: "text"}
    return "list of names" if get_origin(kind) is list else plain.get(kind, "mapping of name to number")


if __name__ == "__main__":
    current = PAGE.read_text()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if page(current) == current else f"{PAGE}: the settings have changed: run python docs/settings.py")
    PAGE.write_text(page(current))
