"""The model card of an exported folder, as Markdown. Pure text, torch-free.

Names of classes and studies come from users' folders: everything that is not
ours goes through ``escape.markdown``. The Python lines are made of catalogue
names and whole numbers alone, and a test runs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from search.data.store import decoded_side
from search.export.card_tasks import has_intervals, kind, learnt, outputs, tested, thresholds, title
from search.export.contents import CARD_FILE, INFO_FILE, WEIGHTS_FILE, ModelInfo
from search.export.escape import markdown
from search.export.report import ClassScore, Interval, TestResult
from search.space.figure import metric
from search.space.spec import METRICS_OF

_CALIBRATION = "calibration_error"
_WIDEST_CONFUSION = 20
"""Classes up to which the confusion matrix is printed whole."""


def card(info: ModelInfo) -> str:
    """The text of ``README.md`` for a model.

    Args:
        info: Everything about the model but its tensors.

    Returns:
        Markdown that ends in a line break.
    """
    architecture = info.architecture
    sections = [
        [
            f"# {markdown(info.study)}: {architecture.backbone}, {title(info)}",
            "",
            f"{kind(info)}: {architecture.library}'s `{architecture.library_name}` at "
            f"{architecture.image_size} x {architecture.image_size} pixels, fine-tuned from "
            f"{markdown(info.start)} weights. It is trial {info.trial} of the study "
            f"{markdown(info.study)}, with the weights of epoch {info.epoch}.",
            "",
            f"Files: `{WEIGHTS_FILE}` (the tensors, under {architecture.library}'s own names), "
            f"`{INFO_FILE}` (everything below, for programs), `{CARD_FILE}` (this page).",
        ],
        _use(info),
        _figures(info),
        _data(info),
        _table("## Settings", ("setting", "value"), _escaped(info.params)),
        _licences(info.licences),
        _table("## Made with", ("package", "version"), _escaped(info.versions)),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def library_lines(info: ModelInfo) -> str:
    """Python that loads the model without this project, run in the folder."""
    architecture = info.architecture
    arguments = ", ".join(f"{name}={value}" for name, value in architecture.arguments.items())
    function, module = (
        ("create_model", "timm")
        if architecture.library == "timm"
        else ("get_model", "torchvision.models")
    )
    imports = [f"from {module} import {function}", "from safetensors.torch import load_file"]
    load = [f'model.load_state_dict(load_file("{WEIGHTS_FILE}"))']
    if architecture.library_name.startswith("mnasnet"):
        # It refuses a state dict that does not say which version of it it is of.
        imports.append("from collections import OrderedDict")
        load = [
            f'state = OrderedDict(load_file("{WEIGHTS_FILE}"))',
            'state._metadata = {"": {"version": 2}}',
            "model.load_state_dict(state)",
        ]
    head = _head_lines(info)
    if head:
        imports.append("from torch import nn")
    return "\n".join(
        [
            *sorted(imports),
            "",
            f'model = {function}("{architecture.library_name}", {arguments})',
            *head,
            *load,
            "model.eval()",
        ]
    )


def _head_lines(info: ModelInfo) -> list[str]:
    """A head of several layers in place of the library's last layer."""
    architecture = info.architecture
    if architecture.head.kind == "linear":
        return []
    layer, more = ("nn.Conv2d", ", 1") if architecture.convolution else ("nn.Linear", "")
    bias = "bias=old.bias is not None"
    return [
        f'old = model.get_submodule("{architecture.head_name}")',
        "features = old.weight.shape[1]",
        f"hidden = {architecture.head.hidden or 'features'}",
        "head = nn.Sequential(",
        f"    {layer}(features, hidden{more}, {bias}),",
        "    nn.GELU(),",
        "    nn.Dropout(),",
        f"    {layer}(hidden, {info.outputs}{more}, {bias}),",
        ")",
        f'model.set_submodule("{architecture.head_name}", head)',
    ]


def _use(info: ModelInfo) -> list[str]:
    side, size = decoded_side(info.architecture.image_size), info.architecture.image_size
    preprocessing = info.preprocessing
    return [
        "## How to use it",
        "",
        "With this project installed, `search predict` needs this folder and nothing else:",
        "",
        "```sh",
        "search predict . photo.jpg folder-of-images/",
        "```",
        "",
        f"Without it, in plain {info.architecture.library}, run in this folder:",
        "",
        "```python",
        library_lines(info),
        "```",
        "",
        f"The model takes float32 RGB images [B, 3, {size}, {size}] and gives {outputs(info)}. "
        "An image is prepared in these steps:",
        "",
        "1. turned as its EXIF orientation says, RGB, transparency on white;",
        f"2. short side resized to {side} ({preprocessing.interpolation}, Pillow), centre crop of "
        f"{side} x {side};",
        f"3. centre crop of {preprocessing.crop_ratio:.6g} of that side, resized to "
        f"{size} x {size} ({preprocessing.interpolation}, antialiased);",
        f"4. to 0..1, minus mean {_numbers(preprocessing.mean)}, divided by std "
        f"{_numbers(preprocessing.std)}.",
    ]


def _figures(info: ModelInfo) -> list[str]:
    count, names = info.images.get("val", 0), METRICS_OF[info.learns.task]
    if info.test is None:
        rows = [(name, metric(info.validation.get(name), name), "not measured") for name in names]
        test = "test"
    else:
        rows = [
            (
                name,
                metric(info.validation.get(name), name),
                f"{metric(info.test.metrics[name], name)}"
                f"{_bounds(info.test.intervals[name], name)}",
            )
            for name in names
        ]
        independent = f" ({info.test.units} independent)" if info.test.units else ""
        test = f"test, n = {info.test.n}{independent}" + (
            ", 95 % interval" if has_intervals(info) else ""
        )
    lines = _table("## How good it is", ("metric", f"validation, n = {count}", test), rows)
    if info.test is None:
        return [
            *lines,
            "",
            f"The study chose by validation {info.objective}, and a figure that a model was chosen "
            "by flatters it. The test set has not been opened for this trial.",
        ]
    return [
        *lines,
        "",
        f"The trial was chosen by validation {info.objective}; the test images took no part in any "
        f"choice. {tested(info)}",
        *_classes(info, info.test),
    ]


def _classes(info: ModelInfo, test: TestResult) -> list[str]:
    if not test.classes:
        return []
    lines = [*_calibration(test), "", *_class_table(test)]
    if info.learns.thresholds:
        lines += ["", *_table("### Thresholds", ("class", "threshold"), thresholds(info))]
    if not test.cells or len(test.classes) > _WIDEST_CONFUSION:
        return lines
    names = [markdown(each.name) for each in test.classes]
    return [
        *lines,
        "",
        *_table(
            "### Confusion matrix, on test",
            ("true class", *(f"called {name}" for name in names)),
            [
                (name, *(str(cell) for cell in row))
                for name, row in zip(names, test.confusion, strict=True)
            ],
        ),
    ]


def _with_intervals(score: ClassScore) -> list[str]:
    """Precision, recall and F1."""
    values = [metric(each, "recall") for each in (score.precision, score.recall, score.f1)]
    if score.intervals is None:
        return values
    return [
        f"{value}{_bounds(spread, 'recall')}"
        for value, spread in zip(values, score.intervals, strict=True)
    ]


def _calibration(test: TestResult) -> list[str]:
    if test.calibration is None or test.calibration_interval is None:
        return []
    return [
        "",
        f"Calibration error on test: {metric(test.calibration.error, _CALIBRATION)}"
        f"{_bounds(test.calibration_interval, _CALIBRATION)}. It is the mean gap between the "
        "probability of the called class and how often it is right, over "
        f"{len(test.calibration.images)} bins of "
        "equal width (ECE, Guo et al. 2017). Of few images it reads too high; its interval is "
        "corrected for most of that.",
    ]


def _class_table(test: TestResult) -> list[str]:
    return _table(
        "### By class, on test",
        ("class", "precision", "recall", "F1", "images"),
        [
            (
                markdown(each.name),
                *_with_intervals(each),
                str(each.support),
            )
            for each in test.classes
        ],
    )


def _data(info: ModelInfo) -> list[str]:
    parts = _table(
        "## Data", ("part", "images"), [(part, str(n)) for part, n in info.images.items()]
    )
    return [
        *parts,
        "",
        learnt(info),
        f"Fingerprint of images, labels and split: `{markdown(info.fingerprint)}`.",
    ]


def _licences(licences: Sequence[str]) -> list[str]:
    if not licences:
        return []
    return ["## Licences", "", *(f"- {markdown(each)}" for each in licences)]


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table under a title; the cells are Markdown already."""
    return [
        title,
        "",
        "| " + " | ".join(heads) + " |",
        "| " + " | ".join("---" for _ in heads) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _escaped(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(markdown(name), markdown(str(value))) for name, value in values.items()]


def _bounds(interval: Interval, of: str) -> str:
    """After a figure; nothing where resampling gave an interval of no width."""
    if not interval.low < interval.high:
        return ""
    return f" [{metric(interval.low, of)}, {metric(interval.high, of)}]"


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
