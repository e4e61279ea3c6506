"""Write the tables of all settings into reference.md and serving.md: `python docs/settings.py`; with `--check` only compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from serve_app.settings import Settings
from timerec.config import PRESETS, Config

HERE = Path(__file__).parent
HEAD = "| setting | default | allowed | meaning |\n|---|---|---|---|"
BEGIN, END = "<!-- settings: begin, written by docs/settings.py -->", "<!-- settings: end -->"


def reference() -> str:
    """Markdown of the settings of a run, and of the presets."""
    lines = [table(Config), "", "| preset | sets |", "|---|---|"]
    for preset, tree in PRESETS.items():
        settings = (f"`{section}.{name}={_plain(value)}`" for section, found in tree.items() for name, value in found.items())
        lines.append(f"| `{preset}` | {', '.join(settings)} |")
    return "\n".join(lines)


def serving() -> str:
    """Markdown of the settings of a service."""
    return table(Settings)


def table(settings: type[BaseModel]) -> str:
    """Markdown of every section of the settings; what stands outside of sections comes first."""
    plain = {name: field for name, field in settings.model_fields.items() if not _section(field)}
    lines = [HEAD, *(_row(name, field) for name, field in plain.items()), ""] if len(plain) > 1 else []
    if len(plain) == 1:
        lines = [f"`{name}`: {_allowed(field)}; default {_default(field)}." for name, field in plain.items()] + [""]
    for section, found in settings.model_fields.items():
        model = _section(found)
        if model:
            standard = found.get_default(call_default_factory=True)
            lines += [f"**{section}** · {(model.__doc__ or '').strip()}", "", HEAD]
            lines += [_row(f"{section}.{name}", field, getattr(standard, name)) for name, field in model.model_fields.items()]
            lines.append("")
    return "\n".join(lines).rstrip()


def _section(field: FieldInfo) -> type[BaseModel] | None:
    found = field.annotation
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _row(name: str, field: FieldInfo, standard: Any = None) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_default(field) if standard is None else _told(standard)} | {_allowed(field)} | {meaning} |"


def _plain(value: Any) -> str:
    """A setting as `--set` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {part:g}" for name, part in value.items()) + "}"
    return str(value)


def page(text: str, made: str) -> str:
    """`text` with what was `made` between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError("the page has no marks for the table of settings")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none"
    return _told(field.get_default(call_default_factory=True))


def _told(value: Any) -> str:
    return "empty" if value in ("", None, {}, []) else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" if value else "empty" for value in get_args(field.annotation))
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [f"{sign} {getattr(rule, name)}" for rule in field.metadata for name, sign in signs.items() if hasattr(rule, name)]
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(kind: Any) -> str:
    plain = {int: "whole number", float: "number", str: "text", bool: "yes or no", Path: "path", Path | None: "path"}
    return "list of names" if get_origin(kind) is list else plain.get(kind, "mapping of name to number")


PAGES = {"reference.md": reference, "serving.md": serving}
if __name__ == "__main__":
    for name, make in PAGES.items():
        current = (HERE / name).read_text()
        made = page(current, make())
        if "--check" in sys.argv[1:] and made != current:
            sys.exit(f"{HERE / name}: the settings have changed: run python docs/settings.py")
        (HERE / name).write_text(made)
