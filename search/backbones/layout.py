"""Every architecture as the same five blocks and a head.

The one place that knows how each family is put together. The rule: the stem
and the four stages follow the resolution of the feature map, which is input / 2
or / 4 after the stem and / 4, / 8, / 16, / 32 after the stages; the head is
pooling, dropout and the last linear layer alone, so everything else that was
pretrained (a conv head, the final norm, hidden layers) belongs to stage 4.

| family | stem | stages |
| --- | --- | --- |
| resnet, resnext, wide_resnet | conv1 to maxpool | layer1 .. layer4 |
| convnext, swin | patches | the four stages, each with the downsampling before it |
| efficientnet, mobilenet, lite | first conv and the blocks at its resolution | by resolution |
| vgg | the first group of convolutions | the other four, the last with the hidden layers |
| alexnet | the first of five convolutions | the other four, the last with the hidden layers |
| vit | patches, class token, position embedding | four equal runs of encoder layers |

Shapes: B batch, C channels, H height, W width, S tokens, D width of a token, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Step: TypeAlias = Callable[[Tensor], Tensor]
Steps: TypeAlias = tuple[Step, ...]
"""Applied one after the other; modules of the model, and plain functions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a model falls into blocks. The steps share the model's modules."""

    blocks: tuple[Steps, Steps, Steps, Steps, Steps]
    pool: Steps
    """From stage 4's output to features_BF."""
    head: str
    """Name of the last linear layer in the model, e.g. ``classifier.6``."""
    loose: tuple[str, ...] = ()
    """Parameters of the stem that belong to none of its modules."""


def _flatten(features: Tensor) -> Tensor:
    return torch.flatten(features, 1)


def _average(features_BCHW: Tensor) -> Tensor:
    return torch.flatten(functional.adaptive_avg_pool2d(features_BCHW, 1), 1)


def _split(layers: Any, starts: tuple[int, int, int, int]) -> list[Steps]:
    """Cut a Sequential before each index of ``starts``."""
    children = tuple(layers)
    bounds = (0, *starts, len(children))
    return [children[low:high] for low, high in pairwise(bounds)]


def _resnet(model: Any) -> Layout:
    return Layout(
        blocks=(
            (model.conv1, model.bn1, model.relu, model.maxpool),
            (model.layer1,),
            (model.layer2,),
            (model.layer3,),
            (model.layer4,),
        ),
        pool=(model.avgpool, _flatten),
        head="fc",
    )


def _hidden_layers(model: Any, starts: tuple[int, int, int, int]) -> Layout:
    """VGG, AlexNet and MobileNetV3: hidden layers between pooling and head."""
    stem, one, two, three, four = _split(model.features, starts)
    hidden = tuple(model.classifier)[:-1]
    if isinstance(hidden[-1], nn.Dropout):
        hidden = hidden[:-1]  # the head's own, which our dropout setting replaces
    return Layout(
        blocks=(stem, one, two, three, (*four, model.avgpool, _flatten, *hidden)),
        pool=(),
        head=f"classifier.{len(model.classifier) - 1}",
    )


def _alexnet(model: Any) -> Layout:
    return _hidden_layers(model, (3, 6, 8, 10))


def _vgg(model: Any) -> Layout:
    pools = [index for index, layer in enumerate(model.features) if isinstance(layer, nn.MaxPool2d)]
    one, two, three, four = (index + 1 for index in pools[:4])
    return _hidden_layers(model, (one, two, three, four))


def _mobilenet_v3_small(model: Any) -> Layout:
    return _hidden_layers(model, (1, 2, 4, 9))


def _mobilenet_v3_large(model: Any) -> Layout:
    return _hidden_layers(model, (2, 4, 7, 13))


def _mobilenet_v2(model: Any) -> Layout:
    stem, one, two, three, four = _split(model.features, (2, 4, 7, 14))
    return Layout(blocks=(stem, one, two, three, four), pool=(_average,), head="classifier.1")


def _efficientnet(model: Any) -> Layout:
    stem, one, two, three, four = _split(model.features, (2, 3, 4, 6))
    return Layout(
        blocks=(stem, one, two, three, four), pool=(model.avgpool, _flatten), head="classifier.1"
    )


def _lite(model: Any) -> Layout:
    first, one, two, three, four = _split(model.blocks, (1, 2, 3, 5))
    return Layout(
        blocks=(
            (model.conv_stem, model.bn1, *first),
            one,
            two,
            three,
            (*four, model.conv_head, model.bn2),
        ),
        pool=(model.global_pool,),
        head="classifier",
    )


def _convnext(model: Any) -> Layout:
    stem, one, two, three, four = _split(model.features, (1, 2, 4, 6))
    # The final norm comes after the pooling and is pretrained: both go to stage 4.
    norm, flatten = model.classifier[0], model.classifier[1]
    return Layout(
        blocks=(stem, one, two, three, (*four, model.avgpool, norm, flatten)),
        pool=(),
        head="classifier.2",
    )


def _swin(model: Any) -> Layout:
    stem, one, two, three, four = _split(model.features, (1, 2, 4, 6))
    return Layout(
        blocks=(stem, one, two, three, (*four, model.norm, model.permute)),
        pool=(model.avgpool, model.flatten),
        head="head",
    )


def _vit(model: Any) -> Layout:
    def tokens(patches_BDHW: Tensor) -> Tensor:
        patches_BSD = patches_BDHW.flatten(2).permute(0, 2, 1)
        token_B1D = model.class_token.expand(patches_BSD.shape[0], -1, -1)
        tokens_BSD = torch.cat([token_B1D, patches_BSD], dim=1)
        positioned_BSD: Tensor = tokens_BSD + model.encoder.pos_embedding
        return positioned_BSD

    def class_token(tokens_BSD: Tensor) -> Tensor:
        return tokens_BSD[:, 0]

    quarter = len(model.encoder.layers) // 4
    _, one, two, three, four = _split(model.encoder.layers, (0, quarter, 2 * quarter, 3 * quarter))
    return Layout(
        blocks=(
            (model.conv_proj, tokens, model.encoder.dropout),
            one,
            two,
            three,
            (*four, model.encoder.ln),
        ),
        pool=(class_token,),
        head="heads.head",
        loose=("class_token", "encoder.pos_embedding"),
    )


FAMILIES: tuple[tuple[str, Callable[[Any], Layout]], ...] = (
    ("alexnet", _alexnet),
    ("convnext_", _convnext),
    ("efficientnet_lite", _lite),
    ("efficientnet_", _efficientnet),
    ("mobilenet_v2", _mobilenet_v2),
    ("mobilenet_v3_large", _mobilenet_v3_large),
    ("mobilenet_v3_small", _mobilenet_v3_small),
    ("resnet", _resnet),
    ("resnext", _resnet),
    ("swin_", _swin),
    ("vgg", _vgg),
    ("vit_", _vit),
    ("wide_resnet", _resnet),
)
"""How a catalogue name begins -> its layout; the first that fits."""


def layout(name: str, model: nn.Module) -> Layout:
    """How the model of a catalogue name falls into blocks."""
    for beginning, family in FAMILIES:
        if name.startswith(beginning):
            return family(model)
    raise ValueError(f"no layout for {name!r}")
