"""``docs/settings.md``: every setting and every key of a space file, from the code.

    python -m search.cli.settings_page > docs/settings.md      (make docs)

Pure but for the printing: settings and schema in, text out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from search.space.acting import words
from search.space.settings import Setting, Value
from search.space.spec import PatienceSpec

WRITE = "make docs"
_HEAD = f"""\
# Settings
Every key of a space file. Made from the code by `{WRITE}`; how to write one: [space.md](space.md).

## Of a trial: `space:`
Each can be fixed, a list of choices, or a range; what is not named has its default. A setting does
something only *where* its row says: `search plan FILE` tells of those that a file names where they
do nothing, and shows what it comes to.
"""
_SECTIONS = """\

## Of a study: the other sections
`null` removes what an extended file says, and where a default is *none*, it is that.
"""
_TOLD: Mapping[str, Mapping[str, Any]] = {
    "study": {"name": "the file's name", "seed": 0},
    "epochs": {"min": "see above"},
    "patience": asdict(PatienceSpec()),
}
"""Defaults that a study's document does not tell."""
_TITLES = {"core": "What nearly every search varies"}


def page() -> str:
    """The content of ``docs/settings.md``, line break included."""
    from search.backbones.catalogue import CATALOGUE
    from search.space.schema import schema
    from search.training.config import SETTINGS
    from search.training.settings import THEMES

    document = schema(SETTINGS, list(CATALOGUE))
    return "\n".join(
        [
            _HEAD.rstrip("\n"),
            *(line for theme, rows in THEMES.items() for line in _theme(theme, rows, SETTINGS)),
            _SECTIONS.rstrip("\n"),
            *_sections(document["properties"], _defaults()),
            "",
        ]
    )


def _theme(theme: str, rows: Sequence[Setting], settings: Mapping[str, Setting]) -> Iterator[str]:
    title = _TITLES.get(theme, theme.replace("_", " ").capitalize())
    yield from ("", f"### {title}")
    yield from _table(
        ("setting", "meaning", "unit", "default", "range", "where"),
        [
            (
                f"`{row.name}`",
                row.meaning,
                row.unit,
                f"`{_plain(row.default)}`",
                setting_range(row),
                words(row, settings),
            )
            for row in rows
        ],
    )
    sources = [f"- `{row.name}`: {row.source}" for row in rows if row.source]
    if sources:
        yield from ("", "Sources:", *sources)


def setting_range(row: Setting) -> str:
    """E.g. ``0 to 5``, ``none, light``, ``a name of search backbones``."""
    if row.kind == "backbone":
        return "a name that `search backbones` lists"
    if row.kind == "choice":
        return ", ".join(f"`{_plain(choice)}`" for choice in row.choices)
    whole = "whole numbers " if row.kind == "int" else ""
    if row.low is not None and row.high is not None:
        return f"{whole}{_plain(row.low)} to {_plain(row.high)}"
    if row.low is not None:
        return f"{whole}from {_plain(row.low)}"
    return f"{whole}to {_plain(row.high)}" if row.high is not None else "any number"


def _defaults() -> dict[str, Any]:
    """A study's document in which nothing is said."""
    from search.space.document import to_document
    from search.space.domains import Space
    from search.space.spec import DataSpec, StudySpec

    return to_document(StudySpec(name="study", data=DataSpec(), space=Space(params=())))


def _sections(properties: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    for name, section in properties.items():
        if name == "space":
            continue
        yield from ("", f"### `{name}`", section.get("description", ""))
        form = next(
            (each for each in (section, *section.get("anyOf", ())) if each.get("properties")), None
        )
        if form is None:
            default = section.get("default")
            kind = _kind(section)
            told = [kind] if kind else []
            told += [f"default `{_plain(default)}`"] if default is not None else []
            if told:
                yield f"({'; '.join(told)})"
            continue
        values = defaults.get(name)
        known = values if isinstance(values, dict) else {}
        known = {**known, **_TOLD.get(name, {})}
        yield from _table(
            ("key", "meaning", "default", "values"), list(_keys(form["properties"], known, ""))
        )


def _keys(
    properties: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, ...]]:
    for key, each in properties.items():
        known = defaults.get(key)
        if each.get("properties"):
            inner = known if isinstance(known, dict) else {}
            yield from _keys(each["properties"], inner, f"{prefix}{key}.")
            continue
        default = each.get("default", known)
        shown = "*none*" if default is None or default in ({}, "") else f"`{_plain(default)}`"
        if isinstance(default, str) and " " in default:
            shown = default
        yield f"`{prefix}{key}`", each.get("description", ""), shown, _kind(each)


def _kind(form: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if "enum" in form:
        return ", ".join(f"`{_plain(one)}`" for one in form["enum"] if one is not None)
    kinds = form.get("type", ())
    kind = next(
        (one for one in ([kinds] if isinstance(kinds, str) else kinds) if one != "null"), ""
    )
    if kind in ("integer", "number"):
        return _bounds("a whole number" if kind == "integer" else "a number", form)
    return {"string": "text", "boolean": "`true`, `false`", "array": "a list"}.get(
        kind, "a mapping" if kind == "object" else ""
    )


def _bounds(what: str, form: Mapping[str, Any]) -> str:
    low, high = form.get("minimum"), form.get("maximum")
    if "exclusiveMinimum" in form and "exclusiveMaximum" in form:
        low, high = _plain(form["exclusiveMinimum"]), _plain(form["exclusiveMaximum"])
        return f"{what} between {low} and {high}"
    if "exclusiveMinimum" in form:
        return f"{what} above {_plain(form['exclusiveMinimum'])}"
    if low is not None and high is not None:
        return f"{what} from {_plain(low)} to {_plain(high)}"
    return f"{what} from {_plain(low)} up" if low is not None else what


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table; columns in which no row says anything are left out."""
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    yield "| " + " | ".join(head[at] for at in kept) + " |"
    yield "|" + " --- |" * len(kept)
    for row in rows:
        yield "| " + " | ".join(row[at].replace("|", "\\|") for at in kept) + " |"


def _plain(value: Value | list[Any] | dict[str, Any]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(_plain(each) for each in value)}]"
    return str(value)


if __name__ == "__main__":
    print(page(), end="")
