"""JSON Schema of a space file, for editors that complete and check. Pure.

It says less than :func:`search.space.load`, which alone decides: what ties keys
together (a circle of conditions, low above high) is no matter of a schema. What
it refuses, ``load`` refuses too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.space.ranges import MAX_STEPS
from search.space.sections import SAMPLERS, SCHEDULERS
from search.space.settings import Setting, Value
from search.space.spec import (
    ACTIVATION_TYPES,
    ALL_METRICS,
    METRICS_OF,
    PATIENCE_METRICS,
    TASKS,
    StudySpec,
)
from search.space.study_section import NAME
from search.space.weights_section import SOURCES, UNAVAILABLE

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_NAME: Schema = {"type": ["string", "number"]}
_NATURAL: Schema = {"type": "integer", "minimum": 1}
_FLAG: Schema = {"type": "boolean"}


def schema(settings: Mapping[str, Setting], backbones: Sequence[str]) -> Schema:
    """The schema (draft 2020-12) of space files checked against these values.

    Args:
        settings: Everything a trial can vary, by name.
        backbones: The names that the catalogue has.
    """
    sections = {
        "extends": {
            **_TEXT,
            "description": "A preset or a space file that this one lies over, e.g. "
            "preset/small-data, preset/balanced or base.yaml. Mappings merge by key, an entry "
            "of space is replaced whole, null removes.",
        },
        "study": _section(
            "The study's name and seed.",
            name={
                "type": ["string", "number"],
                "pattern": f"^{NAME.pattern}$",
                "description": "By default the file's name.",
            },
            seed=_seed("Of samplers, heads, order and views."),
        ),
        "data": _data(),
        "objective": {
            "enum": list(ALL_METRICS),
            "description": "What is maximized; loss, mae and rmse are minimized. By task: "
            + "; ".join(f"{task} {', '.join(METRICS_OF[task])}" for task in TASKS)
            + ". The first is the default.",
        },
        "epochs": _section(
            "No trial is stopped before min, by default the first epoch at which all are at "
            "their final depth; the learning-rate schedule ends at max.",
            min={**_NATURAL, "description": "First epoch at which trials are compared."},
            max={**_NATURAL, "description": "Full length of a trial."},
        ),
        "space": _space(settings),
        "first": {
            "description": "Points tried before sampling; missing keys take their defaults.",
            "type": "array",
            "items": {
                "anyOf": [
                    {"const": "default"},
                    {
                        "type": "object",
                        "properties": {name: _ref(f"value_{name}") for name in settings},
                        "additionalProperties": False,
                    },
                ]
            },
            "default": ["default"],
        },
        "weights": _weights(backbones),
        "sampler": _section(
            "What proposes settings.",
            name={
                "enum": list(SAMPLERS),
                "default": SAMPLERS[0],
                "description": "tpe learns from the trials before; random; grid tries all.",
            },
            startup_trials={
                "type": "integer",
                "minimum": 0,
                "description": "Sampled at random before tpe fits its model.",
            },
        ),
        "scheduler": _section(
            "What stops hopeless trials early.",
            name={
                "enum": list(SCHEDULERS),
                "default": SCHEDULERS[0],
                "description": "asha compares at rungs; none trains every trial to its end.",
            },
            reduction_factor={
                "type": "integer",
                "minimum": 2,
                "maximum": 100,
                "description": "About the best 1/reduction_factor go on at each rung.",
            },
        ),
        "patience": _section(
            "A trial ends itself, complete, when its own validation got no better.",
            metric={
                "enum": list(PATIENCE_METRICS),
                "default": PATIENCE_METRICS[0],
                "description": "Of validation; what must improve.",
            },
            epochs={
                **_NATURAL,
                "description": "Without improvement; counted from the first at final depth.",
            },
        ),
        "budget": {
            **_section(
                "The study's limit over all its runs; at least one.",
                trials=_nullable(_NATURAL, "Settled trials of any state."),
                minutes=_nullable({"type": "number", "exclusiveMinimum": 0}, "Wall time."),
                stop_after=_nullable(_NATURAL, "Settled trials in a row without a better one."),
            ),
            "minProperties": 1,
        },
        "resources": {
            "description": "What one trial gets; auto shares out what the cluster has.",
            "anyOf": [{"const": "auto"}, _resources()],
            "default": "auto",
        },
        "storage": {
            **_TEXT,
            "default": StudySpec.__dataclass_fields__["storage"].default,
            "description": "sqlite:///FILE, postgresql://USER@HOST/NAME or ${env:NAME}.",
        },
        "checkpoints": _section(
            "Where trained weights are kept, and of how many best trials.",
            dir={**_NAME, "default": "studies", "description": "A folder."},
            keep={**_NATURAL, "description": "Best trials whose weights are kept."},
        ),
        "cache": _section(
            "What is computed once: decoded images, and what frozen blocks put out.",
            dir={
                "type": ["string", "number", "null"],
                "description": "A folder; SEARCH_CACHE or the platform's when null.",
            },
            max_gb=_nullable(
                {"type": "number", "minimum": 0},
                "10**9 bytes; half of the free disk when null; 0 stores no activations.",
            ),
            activations={
                "enum": list(ACTIVATION_TYPES),
                "default": "float16",
                "description": "Precision of what frozen blocks put out, stored or not.",
            },
        ),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A space file of `search`",
        "type": "object",
        "properties": {
            name: section if name == "extends" else _removable(section)
            for name, section in sections.items()
        },
        "additionalProperties": False,
        "$defs": {
            "removed": {"description": "Removes what an extended file says.", "type": "null"},
            "backbone": {
                "anyOf": [{"enum": list(backbones)}, {"type": "string", "pattern": "^timm:."}]
            },
            "when": _when(settings),
            **{f"value_{name}": _value(setting) for name, setting in settings.items()},
            **{f"domain_{name}": _domain(setting) for name, setting in settings.items()},
        },
    }


def _section(description: str, **properties: Schema) -> Schema:
    """A mapping with these keys and no others."""
    return {
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _removable(property: Schema) -> Schema:
    """The property, or the ``null`` that removes what an extended file says."""
    inner = dict(property)
    if isinstance(inner.get("properties"), dict):
        inner["properties"] = {name: _removable(each) for name, each in inner["properties"].items()}
    if "type" in inner:
        kinds = inner["type"] if isinstance(inner["type"], list) else [inner["type"]]
        inner["type"] = list(dict.fromkeys([*kinds, "null"]))
    elif "enum" in inner:
        inner["enum"] = [*inner["enum"], None]
    else:
        kept: Schema = {key: inner.pop(key) for key in ("description", "default") if key in inner}
        forms = inner.get("anyOf", [inner])
        inner = {**kept, "anyOf": [*forms, _ref("removed")]}
    return inner


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _nullable(inner: Schema, description: str) -> Schema:
    return {**inner, "type": [inner["type"], "null"], "description": description}


def _seed(description: str) -> Schema:
    return {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**32 - 1,
        "default": 0,
        "description": description,
    }


def _data() -> Schema:
    share: Schema = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "default": 0.2}
    where: Schema = {"type": ["string", "number", "null"]}
    return _section(
        "Where the images are: one of path, manifest, sample; or --data FOLDER.",
        path={**where, "description": "A folder per class; or train/ val/ test/ with such."},
        manifest={**where, "description": "A CSV file: path,label[,split][,group]."},
        sample={**where, "description": "Shipped by a package, e.g. solar-cells."},
        task={
            "enum": list(TASKS),
            "default": TASKS[0],
            "description": "One class an image; any number, with | between them; a number.",
        },
        unit={
            "type": ["string", "null"],
            "description": "Of the numbers of a regression, e.g. kg; only shown.",
        },
        split=_section(
            "Shares of all images, cut from train where the data brings no such part.",
            val={**share, "description": "Share for validation."},
            test={**share, "description": "Share for the test."},
            seed=_seed("Of the split."),
        ),
        max_images=_nullable(_NATURAL, "A stratified subset, for a quick look."),
        max_bad={
            "type": "integer",
            "minimum": 0,
            "default": 0,
            "description": "How many unreadable images are left out before the run stops.",
        },
    )


def _weights(backbones: Sequence[str]) -> Schema:
    def three(low: float) -> Schema:
        number = {"type": "number", "minimum": low, "maximum": 1}
        return {"type": ["array", "null"], "items": number, "minItems": 3, "maxItems": 3}

    file = {
        **_section("With its own normalisation.", file=_NAME, mean=three(0), std=three(1e-6)),
        "required": ["file"],
        "dependentRequired": {"mean": ["std"], "std": ["mean"]},
    }
    return _section(
        "Which weights a backbone starts from.",
        source={
            "enum": list(SOURCES),
            "default": SOURCES[0],
            "description": "random trains from scratch, for comparison.",
        },
        unavailable={
            "enum": list(UNAVAILABLE),
            "default": UNAVAILABLE[0],
            "description": "skip goes on with the backbones whose weights are there.",
        },
        files={
            "description": "A local state dict for a catalogue name.",
            "type": "object",
            "propertyNames": _ref("backbone"),
            "additionalProperties": {"anyOf": [_NAME, file]},
        },
        tags={
            "description": "Which of its pretrained weights, e.g. IMAGENET1K_V1; "
            "search backbones NAME shows them.",
            "type": "object",
            "propertyNames": _ref("backbone"),
            "additionalProperties": _NAME,
        },
    )


def _resources() -> Schema:
    return _section(
        "What one trial gets.",
        cpus_per_trial=_nullable({"type": "number", "minimum": 0.01}, "Cores."),
        gpus_per_trial=_nullable({"type": "number", "minimum": 0}, "Fractions share a GPU."),
        concurrency=_nullable(_NATURAL, "At most this many trials at once."),
        minutes_per_epoch=_nullable(
            {"type": "number", "exclusiveMinimum": 0},
            "A trial that reports nothing for so long is ended.",
        ),
    )


def _space(settings: Mapping[str, Setting]) -> Schema:
    return {
        "description": "A plain value is fixed, a list is a choice, what is not named has "
        "its default.",
        "type": "object",
        "properties": {
            name: {
                "description": f"{setting.meaning} (default {_plain(setting.default)})",
                **_ref(f"domain_{name}"),
            }
            for name, setting in settings.items()
        },
        "additionalProperties": False,
    }


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(setting: Setting) -> Schema:
    if setting.kind == "backbone":
        return _ref("backbone")
    if setting.kind == "choice":
        return {"enum": list(setting.choices)}
    value: Schema = {"type": "integer" if setting.kind == "int" else "number"}
    if setting.low is not None:
        value["minimum"] = setting.low
    if setting.high is not None:
        value["maximum"] = setting.high
    return value


def _domain(setting: Setting) -> Schema:
    value = _ref(f"value_{setting.name}")
    choice = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}
    forms = [_form("value", value), _form("choice", choice)]
    bounds = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    if setting.kind == "int":
        forms.append(_form("int", bounds, log=_FLAG, step=_NATURAL))
    if setting.kind == "float":
        steps = {"type": ["integer", "null"], "minimum": 2, "maximum": MAX_STEPS}
        forms.append(_form("float", bounds, log=_FLAG, steps=steps))
    branch = {"anyOf": forms}
    branches = {"type": "array", "items": branch, "minItems": 1}
    return {"anyOf": [value, choice, *forms, branches]}


def _form(name: str, inner: Schema, **modifiers: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {name: inner, **modifiers, "when": _ref("when")},
        "required": [name],
        "additionalProperties": False,
    }


def _when(settings: Mapping[str, Setting]) -> Schema:
    conditions: dict[str, Schema] = {}
    for name, setting in settings.items():
        value = _ref(f"value_{name}")
        if setting.kind == "backbone":
            value = {"anyOf": [value, {"type": "string", "pattern": "[*?]"}]}
        tests: list[Schema] = [value, {"type": "array", "items": value, "minItems": 1}]
        if setting.kind in ("int", "float"):
            edge = {"type": ["number", "null"]}
            edges = _section("From min to max, both included.", min=edge, max=edge)
            tests.append({**edges, "minProperties": 1})
        conditions[name] = {"anyOf": tests}
    return {
        "description": "Conditions, all of which must hold; on an inactive setting none does.",
        "type": "object",
        "properties": conditions,
        "additionalProperties": False,
        "minProperties": 1,
    }
