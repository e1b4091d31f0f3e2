"""Write ``timm.json`` from what timm says of itself and from how its models fall apart.

Run ``python -m search.backbones.timm_generate`` after an update of timm and read the
diff; a quarter of an hour. Listed are the architectures that have pretrained weights.
Models are made without memory, so nothing is downloaded and nothing computed: a forward
pass there tells which image sizes a model takes.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_arch_pretrained_cfgs
from timm.models.vision_transformer import VisionTransformer

from search.backbones.block_map import block_map
from search.backbones.stages import Staged
from search.backbones.timm_layout import timm_layout
from search.backbones.timm_names import PREFIX
from search.backbones.traced import CannotSplit

SIZES = (32, 48, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448)
"""Sides that are tried as the smallest one."""

STEPS = (1, 2, 4, 8, 16, 32)
"""What its sizes may be multiples of."""

SAFE = {
    "": "model.safetensors",
    "open_clip_pytorch_model.bin": "open_clip_model.safetensors",
    "pytorch_model.bin": "model.safetensors",
}
"""The safetensors file beside a file of the hub, as timm itself looks for it."""

Row = dict[str, Any]


def row(architecture: str, norms: list[Any]) -> Row:
    """What is known of an architecture: sizes, parameters, weights, blocks; or why it
    cannot be used."""
    configs = get_arch_pretrained_cfgs(architecture) or {}
    tags = {
        name.partition(".")[2]: config
        for name, config in configs.items()
        if config.has_weights and "." in name
    }
    first = next(iter(configs.values()))
    found: Row = {
        "refused": "",
        "parameters": 0,
        "size": first.input_size[-1],
        "minimum": 32,
        "multiple": 1,
        "fixed": False,
        "arguments": {},
        "tags": {tag: _weights(config, norms) for tag, config in tags.items()},
        "blocks": [],
    }
    try:
        found |= _shape(architecture, first)
    except CannotSplit as error:
        found["refused"] = str(error)
    return found


def _weights(config: Any, norms: list[Any]) -> Row:
    norm = [list(config.mean), list(config.std)]
    if norm not in norms:
        norms.append(norm)
    name = SAFE.get(config.hf_hub_filename or "", config.hf_hub_filename or "")
    safe = bool(config.hf_hub_id) and name.endswith(".safetensors") and not config.custom_load
    return {
        "size": config.input_size[-1],
        "norm": norms.index(norm),
        "interpolation": "bilinear" if config.interpolation == "bilinear" else "bicubic",
        "crop": min(1.0, config.crop_pct),
        "file": f"{config.hf_hub_id}/resolve/main/{name}" if safe else "",
        "licence": config.license or "",
    }


def _shape(architecture: str, config: Any) -> Row:
    if config.input_size[0] != 3 or config.input_size[1] != config.input_size[2]:
        raise CannotSplit(f"it takes {' x '.join(map(str, config.input_size))} instead of images")
    classes = config.num_classes or 1000
    default = config.input_size[-1]
    model = _made(architecture, classes, {})
    arguments: Row = {}
    if type(model) is VisionTransformer and model.pos_embed is not None:
        arguments = {"img_size": None}
        if model.dynamic_img_size:
            arguments["dynamic_img_size"] = False
            model = _made(architecture, classes, {"dynamic_img_size": False})
    staged = Staged(f"{PREFIX}{architecture}", model, timm_layout(model), dropout=0.0)
    fixed = config.fixed_input_size and not arguments
    minimum, multiple = default, 1
    if fixed:
        _check_forward(staged, default)
    elif arguments:
        multiple = model.patch_embed.patch_size[0]
        minimum = -(-SIZES[0] // multiple) * multiple
        small = _made(architecture, classes, {**arguments, "img_size": minimum})
        _check_forward(Staged("", small, timm_layout(small), dropout=0.0), minimum)
    else:
        least = config.min_input_size[-1] if config.min_input_size else SIZES[0]
        sides = (side for side in SIZES if side >= least and _takes(staged, side))
        minimum = next(sides, default)
        if minimum == default:
            _check_forward(staged, default)
        whole = (by for by in STEPS if minimum % by == 0 and _takes(staged, minimum + by))
        multiple = next(whole, 0)
        fixed = not multiple
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "minimum": minimum,
        "multiple": multiple or 1,
        "fixed": fixed,
        "arguments": arguments,
        "blocks": [list(each) for each in block_map(staged)],
    }


def _made(architecture: str, classes: int, arguments: Mapping[str, Any]) -> Any:
    try:
        with torch.device("meta"):
            model = timm.create_model(
                architecture, pretrained=False, num_classes=classes, **arguments
            )
    except Exception as error:
        fact = " ".join(str(error).split())[:80]
        raise CannotSplit(f"it cannot be made without memory ({fact})") from error
    return model.eval()


def _check_forward(staged: Staged, side: int) -> None:
    """The blocks hand on one tensor each, and end in logits."""
    x = torch.empty(2, 3, side, side, device="meta")
    try:
        for block in staged.blocks:
            x = block(x)
            if not isinstance(x, torch.Tensor):
                raise CannotSplit(f"{block.name} hands on more than one tensor")
        pooled = staged.pool(x)
        if pooled.shape[:2] != (2, staged.features) or pooled.ndim not in (2, 4):
            raise CannotSplit(f"what it pools to has the shape {tuple(pooled.shape)}")
        logits = staged.head(pooled)
    except CannotSplit:
        raise
    except Exception as error:
        fact = " ".join(str(error).split())[:80]
        raise CannotSplit(f"it cannot be run without memory ({fact})") from error
    if logits.shape != (2, staged.classes):
        raise CannotSplit(f"its output has the shape {tuple(logits.shape)}")


def _takes(staged: Staged, side: int) -> bool:
    try:
        _check_forward(staged, side)
    except CannotSplit:
        return False
    return True


def architectures() -> list[str]:
    """Those of the installed timm that have pretrained weights, by name."""
    return sorted({name.partition(".")[0] for name in timm.list_models(pretrained=True)})


def document(architectures: Iterable[str]) -> Row:
    """What ``timm.json`` holds of these architectures of the installed timm."""
    norms: list[Any] = []
    models = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for architecture in architectures:
            models[architecture] = row(architecture, norms)
            fact = models[architecture]["refused"] or "ok"
            print(f"{architecture}: {fact}", file=sys.stderr, flush=True)
    return {"timm": timm.__version__, "norms": norms, "models": models}


def text(found: Row) -> str:
    """The file: a line for each model."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}"
        for name, each in found["models"].items()
    ]
    return (
        f'{{"timm": {json.dumps(found["timm"])},\n"norms": {json.dumps(found["norms"])},\n'
        '"models": {\n' + ",\n".join(lines) + "\n}}\n"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    Path(__file__).with_name("timm.json").write_text(
        text(document(architectures())), encoding="utf-8"
    )
