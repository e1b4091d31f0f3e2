"""A StudySpec as plain JSON values and back; what two of them differ in."""

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
from search.space.spec import (
    Budget,
    CheckpointsSpec,
    DataSpec,
    Epochs,
    Resources,
    SamplerSpec,
    SchedulerSpec,
    SplitSpec,
    StudySpec,
    WeightsFile,
    WeightsSpec,
)

_KINDS: Mapping[str, type[Fixed | Choice | IntRange | FloatRange]] = {
    "fixed": Fixed,
    "choice": Choice,
    "int": IntRange,
    "float": FloatRange,
}
_MAY_CHANGE = ("name", "budget", "resources", "storage", "checkpoints")


def to_document(spec: StudySpec) -> dict[str, Any]:
    """Everything a spec says, as JSON values; :func:`from_document` inverts it."""
    document = asdict(spec)
    document["space"] = [
        {
            "name": param.name,
            "branches": [
                {"domain": _domain(branch.domain), "when": [asdict(each) for each in branch.when]}
                for branch in param.branches
            ],
        }
        for param in spec.space.params
    ]
    plain = _plain(document)
    assert isinstance(plain, dict)
    return plain


def from_document(document: Mapping[str, Any]) -> StudySpec:
    """The spec of a document that :func:`to_document` made."""
    fields = dict(document)
    data = dict(fields.pop("data"))
    weights = dict(fields.pop("weights"))
    return StudySpec(
        data=DataSpec(**{**data, "split": SplitSpec(**data["split"])}),
        epochs=Epochs(**fields.pop("epochs")),
        space=Space(params=tuple(_param(row) for row in fields.pop("space"))),
        first=tuple(tuple((name, value) for name, value in point) for point in fields.pop("first")),
        weights=WeightsSpec(
            source=weights["source"],
            unavailable=weights["unavailable"],
            files=tuple((name, _file(row)) for name, row in weights["files"]),
        ),
        sampler=SamplerSpec(**fields.pop("sampler")),
        scheduler=SchedulerSpec(**fields.pop("scheduler")),
        budget=Budget(**fields.pop("budget")),
        resources=Resources(**fields.pop("resources")),
        checkpoints=CheckpointsSpec(**fields.pop("checkpoints")),
        **fields,
    )


def identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """The part that must stay the same under one study name."""
    return {key: value for key, value in document.items() if key not in _MAY_CHANGE}


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed from ``old`` to ``new``, a line each, in the order of ``old``."""
    lines: list[str] = []
    _compare("", _by_name(old), _by_name(new), lines)
    return lines


def _compare(path: str, old: Any, new: Any, lines: list[str]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            here = f"{path}.{key}" if path else str(key)
            if key not in old:
                lines.append(f"{here}: added: {_shown(new[key])}")
            elif key not in new:
                lines.append(f"{here}: removed: {_shown(old[key])}")
            else:
                _compare(here, old[key], new[key], lines)
    elif old != new:
        lines.append(f"{path}: {_shown(old)} -> {_shown(new)}")


def _by_name(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the space as a mapping, so that params are compared by name."""
    readable = dict(document)
    if isinstance(readable.get("space"), list):
        readable["space"] = {row["name"]: row["branches"] for row in readable["space"]}
    return readable


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "domain" in value[0]:
        return " or ".join(_branch(row) for row in value)
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _branch(row: Mapping[str, Any]) -> str:
    domain = {key: value for key, value in row["domain"].items() if value not in (None, False)}
    kind = domain.pop("kind")
    inner = ", ".join(f"{key} {value}" for key, value in domain.items())
    when = " and ".join(each["param"] for each in row["when"])
    return f"{kind} ({inner})" + (f" when {when}" if when else "")


def _domain(domain: Domain) -> dict[str, Any]:
    kind = next(name for name, each in _KINDS.items() if isinstance(domain, each))
    return {"kind": kind, **asdict(domain)}


def _param(row: Mapping[str, Any]) -> Param:
    return Param(
        name=row["name"],
        branches=tuple(
            Branch(
                domain=_read(branch["domain"]),
                when=tuple(
                    Condition(**{**each, "values": _tuple(each["values"])})
                    for each in branch["when"]
                ),
            )
            for branch in row["branches"]
        ),
    )


def _read(row: Mapping[str, Any]) -> Domain:
    fields = dict(row)
    kind = _KINDS[fields.pop("kind")]
    if kind is Choice:
        fields["choices"] = tuple(fields["choices"])
    return kind(**fields)


def _file(row: Mapping[str, Any]) -> WeightsFile:
    mean, std = row["mean"], row["std"]
    return WeightsFile(
        file=row["file"],
        mean=None if mean is None else (mean[0], mean[1], mean[2]),
        std=None if std is None else (std[0], std[1], std[2]),
    )


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
