"""A StudySpec as a plain document, and back. Pure.

The document is what the study's storage keeps: JSON-able, every default filled
in, every domain written as in a space file. A password in ``storage`` is left
out of it. Documents of an older form are refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from search.space.domains import (
    Branch,
    Choice,
    Condition,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    Param,
    Space,
)
from search.space.secrets import redact
from search.space.settings import Value
from search.space.spec import (
    Budget,
    CacheSpec,
    CheckpointsSpec,
    DataSpec,
    Epochs,
    PatienceSpec,
    Resources,
    SamplerSpec,
    SchedulerSpec,
    SplitSpec,
    StudySpec,
    WeightsFile,
    WeightsSpec,
)

Document = dict[str, Any]

FORM = 1
"""Raised when the meaning of a document changes."""
FREE = ("name", "budget", "resources", "checkpoints", "storage")
"""What may change while a study keeps its name."""


def to_document(spec: StudySpec) -> Document:
    """The whole spec as JSON-able values.

    Returns:
        E.g. ``{"form": 1, "name": "flowers", ..., "space": {"lr":
        [{"float": [1e-4, 1e-2], "log": True}]}, ...}``.
    """
    return {
        "form": FORM,
        "name": spec.name,
        "seed": spec.seed,
        "data": _data(spec.data),
        "objective": spec.objective,
        "epochs": asdict(spec.epochs),
        "space": {
            param.name: [_branch(branch) for branch in param.branches]
            for param in spec.space.params
        },
        "first": [dict(point) for point in spec.first],
        "default_first": spec.default_first,
        "weights": {
            "source": spec.weights.source,
            "unavailable": spec.weights.unavailable,
            "files": {name: _file(file) for name, file in spec.weights.files},
            **({"tags": dict(spec.weights.tags)} if spec.weights.tags else {}),
        },
        "sampler": asdict(spec.sampler),
        "scheduler": asdict(spec.scheduler),
        **({"patience": asdict(spec.patience)} if spec.patience else {}),
        "budget": asdict(spec.budget),
        "resources": asdict(spec.resources),
        "storage": redact(spec.storage),
        "checkpoints": asdict(spec.checkpoints),
        "cache": asdict(spec.cache),
    }


def _data(data: DataSpec) -> Document:
    """Without the task where it is the usual one: so studies were written before there
    were others."""
    written = asdict(data)
    if data.task == "multiclass":
        del written["task"], written["unit"]
    return written


def from_document(document: Mapping[str, Any]) -> StudySpec:
    """The spec that ``to_document`` was given, a password in ``storage`` apart.

    Raises:
        ValueError: If it is no document of this form.
    """
    if document.get("form") != FORM:
        raise ValueError(f"not a study document of form {FORM}: form={document.get('form')!r}")
    try:
        data = document["data"]
        weights = document["weights"]
        return StudySpec(
            name=document["name"],
            seed=document["seed"],
            data=DataSpec(**{**data, "split": SplitSpec(**data["split"])}),
            objective=document["objective"],
            epochs=Epochs(**document["epochs"]),
            space=Space(
                params=tuple(
                    Param(name=name, branches=tuple(_read_branch(branch) for branch in branches))
                    for name, branches in document["space"].items()
                )
            ),
            first=tuple(tuple(point.items()) for point in document["first"]),
            default_first=document["default_first"],
            weights=WeightsSpec(
                source=weights["source"],
                unavailable=weights["unavailable"],
                files=tuple((name, _read_file(file)) for name, file in weights["files"].items()),
                tags=tuple(weights.get("tags", {}).items()),
            ),
            sampler=SamplerSpec(**document["sampler"]),
            scheduler=SchedulerSpec(**document["scheduler"]),
            patience=PatienceSpec(**document["patience"]) if document.get("patience") else None,
            budget=Budget(**document["budget"]),
            resources=Resources(**document["resources"]),
            storage=document["storage"],
            checkpoints=CheckpointsSpec(**document["checkpoints"]),
            cache=CacheSpec(**document["cache"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a damaged study document: {error!r}") from error


def identity(document: Mapping[str, Any]) -> Document:
    """The part of a document that must not change under one name."""
    kept = {name: part for name, part in document.items() if name not in FREE}
    # The fingerprint stands for the images, the weights' hashes for the files.
    for section, free in (
        ("data", ("path", "manifest", "max_bad")),
        ("weights", ("unavailable", "files")),
        ("cache", ("dir", "max_gb")),
    ):
        if isinstance(kept.get(section), dict):
            kept[section] = {name: part for name, part in kept[section].items() if name not in free}
    return kept


def _branch(branch: Branch) -> Document:
    written = _domain(branch.domain)
    if branch.when:
        written["when"] = {condition.param: _condition(condition) for condition in branch.when}
    return written


def _domain(domain: Domain) -> Document:
    match domain:
        case Fixed(value=value):
            return {"value": value}
        case Choice(choices=choices):
            return {"choice": list(choices)}
        case IntRange(low=low, high=high):
            written: Document = {"int": [low, high]}
            if domain.step != 1:
                written["step"] = domain.step
        case FloatRange():
            written = {"float": [domain.low, domain.high]}
            if domain.steps is not None:
                written["steps"] = domain.steps
    if domain.log:
        written["log"] = True
    return written


def _condition(condition: Condition) -> list[Value] | dict[str, float]:
    if condition.values is not None:
        return list(condition.values)
    edges = (("min", condition.min), ("max", condition.max))
    return {name: edge for name, edge in edges if edge is not None}


def _read_branch(written: Mapping[str, Any]) -> Branch:
    domain: Domain
    log = written.get("log", False)
    if "value" in written:
        domain = Fixed(value=written["value"])
    elif "choice" in written:
        domain = Choice(choices=tuple(written["choice"]))
    elif "int" in written:
        low, high = written["int"]
        domain = IntRange(low=low, high=high, step=written.get("step", 1), log=log)
    else:
        low, high = written["float"]
        domain = FloatRange(low=low, high=high, log=log, steps=written.get("steps"))
    return Branch(
        domain=domain,
        when=tuple(_read_condition(name, test) for name, test in written.get("when", {}).items()),
    )


def _read_condition(name: str, test: Any) -> Condition:
    if isinstance(test, Mapping):
        return Condition(param=name, min=test.get("min"), max=test.get("max"))
    return Condition(param=name, values=tuple(test))


def _file(file: WeightsFile) -> Document:
    return {
        "file": file.file,
        "mean": None if file.mean is None else list(file.mean),
        "std": None if file.std is None else list(file.std),
    }


def _read_file(written: Mapping[str, Any]) -> WeightsFile:
    return WeightsFile(
        file=written["file"], mean=_three(written["mean"]), std=_three(written["std"])
    )


def _three(written: list[float] | None) -> tuple[float, float, float] | None:
    if written is None:
        return None
    red, green, blue = written
    return red, green, blue
