"""What a model card says that depends on the task. Pure text, torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from search.export.contents import INFO_FILE, ModelInfo
from search.export.escape import markdown


def title(info: ModelInfo) -> str:
    """What the model tells, after its name."""
    if info.learns.task == "regression":
        return f"a number{_in_unit(info)}"
    return f"{len(info.labels)} classes" + (
        ", several an image" if info.learns.task == "multilabel" else ""
    )


def kind(info: ModelInfo) -> str:
    """What sort of model it is."""
    return {
        "multiclass": "An image classifier",
        "multilabel": "A classifier of images in several classes, or in none",
        "regression": f"A model that gives an image a number{_in_unit(info)}",
    }[info.learns.task]


def outputs(info: ModelInfo) -> str:
    """What the library's model gives, and how to read it."""
    if info.learns.task == "regression":
        scale = info.learns.scale
        return (
            f"one number [B, 1]; as float64, times {scale.std!r} plus {scale.mean!r}, it is "
            f"the value{_in_unit(info)}"
        )
    logits = f"logits [B, {len(info.labels)}] in the order of `labels` in `{INFO_FILE}`"
    if info.learns.task == "multiclass":
        return logits
    return (
        f"{logits}; the sigmoid of each is a probability of its own, and an image is in a class "
        f"from the threshold on that `learns` has for it there"
    )


def tested(info: ModelInfo) -> str:
    """How the test figures came about."""
    if info.learns.task == "multiclass":
        return _interval(info, " within each class")
    interval = _interval(info)
    if info.learns.task == "regression":
        unit = _in_unit(info) or " in the unit of the labels"
        return f"mae and rmse are{unit}, loss in its square. {interval}"
    return (
        "On validation, F1 is of decisions at a probability of 0.5; on test, at the thresholds "
        f"below, which were tuned on validation. mAP needs none. {interval}"
    )


def has_intervals(info: ModelInfo) -> bool:
    """Whether any test figure has an interval of some width."""
    return info.test is not None and any(
        each.low < each.high for each in info.test.intervals.values()
    )


def _interval(info: ModelInfo, how: str = "") -> str:
    if has_intervals(info):
        return f"The interval is a bootstrap over test images{how}."
    return f"There is no interval: resampling the test images{how} gives the same figures again."


def thresholds(info: ModelInfo) -> Sequence[tuple[str, str]]:
    """(class, threshold), where there are any."""
    rows = zip(info.labels, info.learns.thresholds, strict=False)
    return [(markdown(label), f"{threshold:.3f}") for label, threshold in rows]


def learnt(info: ModelInfo) -> str:
    """What the images have been labelled with."""
    if info.learns.task == "regression":
        scale = info.learns.scale
        return (
            f"A number an image{_in_unit(info)}: {info.learns.written(scale.mean)} on average "
            f"in train, standard deviation {scale.std:.4g}."
        )
    several = ", any number of them an image" if info.learns.task == "multilabel" else ""
    return (
        f"{len(info.labels)} classes{several}: "
        + ", ".join(markdown(name) for name in info.labels[:50])
        + (f" and {len(info.labels) - 50} more" if len(info.labels) > 50 else "")
        + "."
    )


def _in_unit(info: ModelInfo) -> str:
    return f" in {markdown(info.learns.unit)}" if info.learns.unit else ""
