"""Every architecture as the same five blocks and a head.

The one place that knows how each family is put together. The rule: the stem
and the four stages follow the resolution of the feature map, which is input / 2
or / 4 after the stem and / 4, / 8, / 16, / 32 after the stages; the head is
pooling, dropout and the last linear layer alone, so everything else that was
pretrained (a conv head, the final norm, hidden layers) belongs to stage 4.
ShuffleNet and SqueezeNet have a resolution less: one of their stages is cut in two.

| family | stem | stages |
| --- | --- | --- |
| resnet, resnext, wide_resnet | conv1 to maxpool | layer1 .. layer4 |
| convnext, swin | patches | the four stages, each with the downsampling before it |
| efficientnet, mobilenet, lite | first conv and the blocks at its resolution | by resolution |
| vgg | the first group of convolutions | the other four, the last with the hidden layers |
| regnet, maxvit | the stem | the four blocks; maxvit's last with the hidden layer |
| mnasnet | first conv and the blocks at its resolution | by resolution |
| densenet | conv0 to pool0 | the four dense blocks, each with the transition before it |
| googlenet, inception | transform_input to the first pooling | by resolution |
| shufflenet | conv1 and maxpool | stage2, the two halves of stage3, stage4 and conv5 |
| squeezenet | conv to maxpool | by resolution, the longest run in two |
| alexnet | the first of five convolutions | the other four, the last with the hidden layers |
| vit | patches, class token, position embedding | four equal runs of encoder layers |

Shapes: B batch, H height, W width, S tokens, D width of a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.backbones.steps import Layout, Steps, average, flatten, mean, split
from search.backbones.timm_layout import timm_layout
from search.backbones.timm_names import is_timm


def _resnet(model: Any) -> Layout:
    return Layout(
        blocks=(
            (model.conv1, model.bn1, model.relu, model.maxpool),
            (model.layer1,),
            (model.layer2,),
            (model.layer3,),
            (model.layer4,),
        ),
        pool=(model.avgpool, flatten),
        head="fc",
    )


def _hidden_layers(model: Any, starts: tuple[int, int, int, int]) -> Layout:
    """VGG, AlexNet and MobileNetV3: hidden layers between pooling and head."""
    stem, one, two, three, four = split(model.features, starts)
    hidden = tuple(model.classifier)[:-1]
    if isinstance(hidden[-1], nn.Dropout):
        hidden = hidden[:-1]  # the head's own, which our dropout setting replaces
    return Layout(
        blocks=(stem, one, two, three, (*four, model.avgpool, flatten, *hidden)),
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
    stem, one, two, three, four = split(model.features, (2, 4, 7, 14))
    return Layout(blocks=(stem, one, two, three, four), pool=(average,), head="classifier.1")


def _efficientnet(model: Any) -> Layout:
    stem, one, two, three, four = split(model.features, (2, 3, 4, 6))
    return Layout(
        blocks=(stem, one, two, three, four), pool=(model.avgpool, flatten), head="classifier.1"
    )


def _lite(model: Any) -> Layout:
    first, one, two, three, four = split(model.blocks, (1, 2, 3, 5))
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
    stem, one, two, three, four = split(model.features, (1, 2, 4, 6))
    # The final norm comes after the pooling and is pretrained: both go to stage 4.
    norm, flatten = model.classifier[0], model.classifier[1]
    return Layout(
        blocks=(stem, one, two, three, (*four, model.avgpool, norm, flatten)),
        pool=(),
        head="classifier.2",
    )


def _swin(model: Any) -> Layout:
    stem, one, two, three, four = split(model.features, (1, 2, 4, 6))
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
    _, one, two, three, four = split(model.encoder.layers, (0, quarter, 2 * quarter, 3 * quarter))
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


def _densenet(model: Any) -> Layout:
    parts = model.features
    return Layout(
        blocks=(
            (parts.conv0, parts.norm0, parts.relu0, parts.pool0),
            (parts.denseblock1,),
            (parts.transition1, parts.denseblock2),
            (parts.transition2, parts.denseblock3),
            (parts.transition3, parts.denseblock4, parts.norm5, functional.relu),
        ),
        pool=(average,),
        head="classifier",
    )


def _googlenet(model: Any) -> Layout:
    return _of_names(
        model,
        "_transform_input conv1 maxpool1",
        "conv2 conv3",
        "maxpool2 inception3a inception3b",
        "maxpool3 inception4a inception4b inception4c inception4d inception4e",
        "maxpool4 inception5a inception5b",
    )


def _inception(model: Any) -> Layout:
    return _of_names(
        model,
        "_transform_input Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1",
        "Conv2d_3b_1x1 Conv2d_4a_3x3",
        "maxpool2 Mixed_5b Mixed_5c Mixed_5d",
        "Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e",
        "Mixed_7a Mixed_7b Mixed_7c",
    )


def _of_names(model: Any, stem: str, one: str, two: str, three: str, four: str) -> Layout:
    """GoogLeNet and Inception, whose parts are attributes of the model."""

    def steps(names: str) -> Steps:
        return tuple(getattr(model, name) for name in names.split())

    return Layout(
        blocks=(steps(stem), steps(one), steps(two), steps(three), steps(four)),
        pool=(model.avgpool, flatten),
        head="fc",
    )


def _maxvit(model: Any) -> Layout:
    one, two, three, four = model.blocks
    # Pooling comes before a pretrained hidden layer: both go to stage 4.
    hidden = tuple(model.classifier)[:-1]
    return Layout(
        blocks=((model.stem,), (one,), (two,), (three,), (four, *hidden)),
        pool=(),
        head="classifier.5",
    )


def _mnasnet(model: Any) -> Layout:
    stem, one, two, three, four = split(model.layers, (8, 9, 10, 12))
    return Layout(blocks=(stem, one, two, three, four), pool=(mean,), head="classifier.1")


def _regnet(model: Any) -> Layout:
    one, two, three, four = model.trunk_output
    return Layout(
        blocks=((model.stem,), (one,), (two,), (three,), (four,)),
        pool=(model.avgpool, flatten),
        head="fc",
    )


def _shufflenet(model: Any) -> Layout:
    units = tuple(model.stage3)
    half = len(units) // 2
    return Layout(
        blocks=(
            (model.conv1, model.maxpool),
            (model.stage2,),
            units[:half],
            units[half:],
            (model.stage4, model.conv5),
        ),
        pool=(mean,),
        head="fc",
    )


def _squeezenet(model: Any, starts: tuple[int, int, int, int]) -> Layout:
    stem, one, two, three, four = split(model.features, starts)
    # The last layer is a 1 x 1 convolution, linear at every position; an
    # activation and the pooling come after it.
    return Layout(
        blocks=(stem, one, two, three, four),
        pool=(),
        head="classifier.1",
        after=(model.classifier[2], model.classifier[3], flatten),
    )


def _squeezenet_1_0(model: Any) -> Layout:
    return _squeezenet(model, (3, 6, 9, 11))


def _squeezenet_1_1(model: Any) -> Layout:
    return _squeezenet(model, (3, 5, 8, 11))


FAMILIES: tuple[tuple[str, Callable[[Any], Layout]], ...] = (
    ("alexnet", _alexnet),
    ("convnext_", _convnext),
    ("densenet", _densenet),
    ("efficientnet_lite", _lite),
    ("efficientnet_", _efficientnet),
    ("googlenet", _googlenet),
    ("inception_v3", _inception),
    ("maxvit_", _maxvit),
    ("mnasnet", _mnasnet),
    ("mobilenet_v2", _mobilenet_v2),
    ("mobilenet_v3_large", _mobilenet_v3_large),
    ("mobilenet_v3_small", _mobilenet_v3_small),
    ("regnet_", _regnet),
    ("resnet", _resnet),
    ("resnext", _resnet),
    ("shufflenet_", _shufflenet),
    ("squeezenet1_0", _squeezenet_1_0),
    ("squeezenet1_1", _squeezenet_1_1),
    ("swin_", _swin),
    ("vgg", _vgg),
    ("vit_", _vit),
    ("wide_resnet", _resnet),
)
"""How a catalogue name begins -> its layout; the first that fits."""


def layout(name: str, model: nn.Module) -> Layout:
    """How the model of a catalogue name falls into blocks."""
    if is_timm(name):
        return timm_layout(model)
    for beginning, family in FAMILIES:
        if name.startswith(beginning):
            return family(model)
    raise ValueError(f"no layout for {name!r}")
