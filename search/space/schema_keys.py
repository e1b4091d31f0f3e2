"""The keys that a space file can have, read from its JSON Schema. Pure."""

from __future__ import annotations

from search.space.schema_domains import Schema


def keys(built: Schema) -> list[str]:
    """Every key of a space file with its section, e.g. ``epochs.max``, ``space.lr``;
    ``space`` first, for it is what is changed most."""
    sections = dict(built["properties"])
    sections = {"space": sections.pop("space"), **sections}
    return [key for name, section in sections.items() for key in _keys(name, section)]


def _keys(name: str, section: Schema) -> list[str]:
    forms = (section, *section.get("anyOf", ()))
    inner = next((form["properties"] for form in forms if "properties" in form), None)
    if inner is None:
        return [name]
    return [key for each, form in inner.items() for key in _keys(f"{name}.{each}", form)]
