"""JSON Schema of a space file, for editors that complete and check. Pure.

It says less than :func:`search.space.load`, which alone decides: what ties keys
together (a circle of conditions, low above high) is no matter of a schema. What
it refuses, ``load`` refuses too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.space.schema_domains import (
    NATURAL,
    Schema,
    domain_of,
    ref,
    section,
    space,
    value_of,
    when,
)
from search.space.sections import SAMPLERS, SCHEDULERS
from search.space.settings import Setting
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

_TEXT: Schema = {"type": "string", "minLength": 1}
_NAME: Schema = {"type": ["string", "number"]}


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
        "study": section(
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
        "epochs": section(
            "No trial is stopped before min, by default the first epoch at which all are at "
            "their final depth; the learning-rate schedule ends at max.",
            min={**NATURAL, "description": "First epoch at which trials are compared."},
            max={**NATURAL, "description": "Full length of a trial."},
        ),
        "space": space(settings),
        "first": {
            "description": "Points tried before sampling; missing keys take their defaults.",
            "type": "array",
            "items": {
                "anyOf": [
                    {"const": "default"},
                    {
                        "type": "object",
                        "properties": {name: ref(f"value_{name}") for name in settings},
                        "additionalProperties": False,
                    },
                ]
            },
            "default": ["default"],
        },
        "weights": _weights(backbones),
        "sampler": section(
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
        "scheduler": section(
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
        "patience": section(
            "A trial ends itself, complete, when its own validation got no better.",
            metric={
                "enum": list(PATIENCE_METRICS),
                "default": PATIENCE_METRICS[0],
                "description": "Of validation; what must improve.",
            },
            epochs={
                **NATURAL,
                "description": "Without improvement; counted from the first at final depth.",
            },
        ),
        "budget": {
            **section(
                "The study's limit over all its runs; at least one.",
                trials=_nullable(
                    NATURAL,
                    "Settled trials of any state; without a limit where only another is named.",
                ),
                minutes=_nullable({"type": "number", "exclusiveMinimum": 0}, "Wall time."),
                stop_after=_nullable(NATURAL, "Settled trials in a row without a better one."),
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
        "checkpoints": section(
            "Where trained weights are kept, and of how many best trials.",
            dir={**_NAME, "default": "studies", "description": "A folder."},
            keep={**NATURAL, "description": "Best trials whose weights are kept."},
        ),
        "cache": section(
            "What is computed once: decoded images, and what frozen blocks put out.",
            dir={
                "type": ["string", "number", "null"],
                "description": "A folder; SEARCH_CACHE or the platform's when null.",
            },
            max_gb=_nullable(
                {"type": "number", "minimum": 0},
                "10**9 bytes; half of the free disk when null; 0 stores nothing new.",
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
            "when": when(settings),
            **{f"value_{name}": value_of(setting) for name, setting in settings.items()},
            **{f"domain_{name}": domain_of(setting) for name, setting in settings.items()},
        },
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
        inner = {**kept, "anyOf": [*forms, ref("removed")]}
    return inner


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
    return section(
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
        split=section(
            "Shares of all images, cut from train where the data brings no such part.",
            val={**share, "description": "Share for validation."},
            test={**share, "description": "Share for the test."},
            seed=_seed("Of the split."),
        ),
        max_images=_nullable(NATURAL, "A stratified subset, for a quick look."),
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
        **section("With its own normalisation.", file=_NAME, mean=three(0), std=three(1e-6)),
        "required": ["file"],
        "dependentRequired": {"mean": ["std"], "std": ["mean"]},
    }
    return section(
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
            "propertyNames": ref("backbone"),
            "additionalProperties": {"anyOf": [_NAME, file]},
        },
        tags={
            "description": "Which of its pretrained weights, e.g. IMAGENET1K_V1; "
            "search backbones NAME shows them.",
            "type": "object",
            "propertyNames": ref("backbone"),
            "additionalProperties": _NAME,
        },
    )


def _resources() -> Schema:
    return section(
        "What one trial gets.",
        cpus_per_trial=_nullable({"type": "number", "minimum": 0.01}, "Cores."),
        gpus_per_trial=_nullable({"type": "number", "minimum": 0}, "Fractions share a GPU."),
        concurrency=_nullable(NATURAL, "At most this many trials at once."),
        minutes_per_epoch=_nullable(
            {"type": "number", "exclusiveMinimum": 0},
            "A trial that reports nothing for so long is ended.",
        ),
    )
