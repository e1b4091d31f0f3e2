"""JSON Schema of the values that a setting may have, and of what may be said of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.space.ranges import MAX_STEPS
from search.space.settings import Setting, Value

Schema = dict[str, Any]

NATURAL: Schema = {"type": "integer", "minimum": 1}
_FLAG: Schema = {"type": "boolean"}


def section(description: str, **properties: Schema) -> Schema:
    """A mapping with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def space(settings: Mapping[str, Setting]) -> Schema:
    return {
        "description": "A plain value is fixed, a list is a choice, what is not named has "
        "its default.",
        "type": "object",
        "properties": {
            name: {
                "description": f"{setting.meaning} (default {_plain(setting.default)})",
                **ref(f"domain_{name}"),
            }
            for name, setting in settings.items()
        },
        "additionalProperties": False,
    }


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_of(setting: Setting) -> Schema:
    if setting.kind == "backbone":
        return ref("backbone")
    if setting.kind == "choice":
        return {"enum": list(setting.choices)}
    value: Schema = {"type": "integer" if setting.kind == "int" else "number"}
    if setting.low is not None:
        value["minimum"] = setting.low
    if setting.high is not None:
        value["maximum"] = setting.high
    return value


def domain_of(setting: Setting) -> Schema:
    value = ref(f"value_{setting.name}")
    choice = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}
    forms = [_form("value", value), _form("choice", choice)]
    bounds = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    if setting.kind == "int":
        forms.append(_form("int", bounds, log=_FLAG, step=NATURAL))
    if setting.kind == "float":
        steps = {"type": ["integer", "null"], "minimum": 2, "maximum": MAX_STEPS}
        forms.append(_form("float", bounds, log=_FLAG, steps=steps))
    branch = {"anyOf": forms}
    branches = {"type": "array", "items": branch, "minItems": 1}
    return {"anyOf": [value, choice, *forms, branches]}


def _form(name: str, inner: Schema, **modifiers: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {name: inner, **modifiers, "when": ref("when")},
        "required": [name],
        "additionalProperties": False,
    }


def when(settings: Mapping[str, Setting]) -> Schema:
    conditions: dict[str, Schema] = {}
    for name, setting in settings.items():
        value = ref(f"value_{name}")
        if setting.kind == "backbone":
            value = {"anyOf": [value, {"type": "string", "pattern": "[*?]"}]}
        tests: list[Schema] = [value, {"type": "array", "items": value, "minItems": 1}]
        if setting.kind in ("int", "float"):
            edge = {"type": ["number", "null"]}
            edges = section("From min to max, both included.", min=edge, max=edge)
            tests.append({**edges, "minProperties": 1})
        conditions[name] = {"anyOf": tests}
    return {
        "description": "Conditions, all of which must hold; on an inactive setting none does.",
        "type": "object",
        "properties": conditions,
        "additionalProperties": False,
        "minProperties": 1,
    }
