"""Spaces of which every trial would fail before its first step. Pure.

One image at once leaves a batch-norm layer one value of each channel where its map is
1 x 1, and nothing can be learnt of one (``training/single_values.py`` finds it in a
trial, for every backbone). Here is what the names of torchvision's backbones tell.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from search.problems import Problem
from search.space.domains import Space
from search.space.reach import joint
from search.space.settings import Value
from search.training.config import SETTINGS

ONE_PIXEL_UP_TO = {
    "densenet": 60,
    "efficientnet_": 32,
    "googlenet": 46,
    "inception_": 106,
    "mnasnet": 32,
    "mobilenet_": 32,
    "regnet_": 32,
    "resnet": 32,
    "resnext": 32,
    "shufflenet_": 32,
    "wide_resnet": 32,
}
"""Image size, in pixels, up to which batch-norm of stage 4 has a map of 1 x 1, by how a
name begins; a test compares. Others have no batch-norm, or no such size."""

_DECIDING = ("backbone", "image_size", "batch_size", "unfreeze_depth", "batch_norm")


def hopeless(space: Space) -> list[Problem]:
    """A warning where every trial of a space would fail. Of timm's nothing is said."""
    if not _all_single(joint(space, ["batch_size"], _told).points):
        return []  # most spaces: nothing else is walked
    found = joint(space, _DECIDING, _told)
    points = [{name: _value(point, name) for name in _DECIDING} for point in found.points]
    if not found.whole or not points or not all(_fails(point) for point in points):
        return []
    size = max(int(point["image_size"]) for point in points)
    return [
        Problem(
            fact="every trial would fail: batch_size is 1, and batch-norm has one value of each "
            f"channel in an image of {size} px, of which it has no spread",
            fix="batch_size: 2",
            level="warning",
        )
    ]


def _all_single(points: tuple[dict[str, Value], ...]) -> bool:
    return all(int(_value(point, "batch_size")) == 1 for point in points)


def _told(name: str, value: Value) -> Hashable:
    if name == "batch_size":
        return int(value) == 1
    if name == "unfreeze_depth":
        return int(value) > 0
    return value if name in _DECIDING else None


def _fails(point: Mapping[str, Value]) -> bool:
    """Whether a trial with these settings trains batch-norm on one value."""
    size, name = int(point["image_size"]), str(point["backbone"])
    most = next((most for start, most in ONE_PIXEL_UP_TO.items() if name.startswith(start)), 0)
    trained = int(point["unfreeze_depth"]) > 0 or point["batch_norm"] == "train"
    return int(point["batch_size"]) == 1 and trained and 0 < size <= most


def _value(point: Mapping[str, Value], name: str) -> Value:
    return point.get(name, SETTINGS[name].default)
