"""Applies drawn views to pixels, a batch at a time, on the batch's device.

One bilinear sampling does crop, flip, turn, scale and shear together; it shrinks
by at most 1.25 (1.44 with medium's zoom; more where ``scale`` says so), and no low-pass
filter precedes it.
Colour follows torchvision's definitions. Every image's result is independent of
the rest of its batch as long as the batch's size stays the same.

B batch, C = 3 channels, H and W pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from search.backbones.info import Preprocessing
from search.training.augmentation import Draws
from search.training.operations import COLOURS, OPERATIONS

_GREY = (0.2989, 0.587, 0.114)
"""torchvision's weights of red, green and blue."""


def evaluated(images_BHWC: Tensor, *, image_size: int, preprocessing: Preprocessing) -> Tensor:
    """The evaluation geometry: centre crop, then antialiased resize.

    Args:
        images_BHWC: uint8 squares, 1.25 times ``image_size`` (rounded) a side.
        image_size: Side of the result in pixels.
        preprocessing: Gives crop ratio and interpolation.

    Returns:
        [B, C, H, W] float32 of whole numbers, 0..255, not normalised.
    """
    side = images_BHWC.shape[1]
    crop = min(side, max(1, round(preprocessing.crop_ratio * side)))
    start = (side - crop) // 2
    images = images_BHWC.permute(0, 3, 1, 2)[:, :, start : start + crop, start : start + crop]
    if crop == image_size:
        return images.float()
    if images.device.type != "cpu":  # the uint8 kernels exist on CPUs alone
        images = images.float()
    images = functional.interpolate(
        images,
        (image_size, image_size),
        mode=preprocessing.interpolation,
        antialias=True,
        align_corners=False,
    )
    return images.float() if images.dtype == torch.uint8 else images.round_().clamp_(0, 255)


def augmented(images_BHWC: Tensor, draws: Draws, *, image_size: int) -> Tensor:
    """One random view of each image.

    Args:
        images_BHWC: uint8 squares.
        draws: Of the same B images.
        image_size: Side of the result in pixels.

    Returns:
        [B, C, H, W] float32, 0..255, not normalised.
    """
    device = images_BHWC.device
    count = len(images_BHWC)
    affine_B23 = _to(draws.affine, device)
    factors_B3 = None if draws.colour is None else _to(draws.colour, device)
    images = torch.empty(
        (count, 3, image_size, image_size),
        device=device,
        memory_format=torch.channels_last,
    )
    few = _FEW if device.type == "cpu" else count
    for rows in (slice(start, start + few) for start in range(0, count, few)):
        some = functional.grid_sample(
            images_BHWC[rows].permute(0, 3, 1, 2).float(),
            _grid(affine_B23[rows], image_size),
            mode="bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        images[rows] = some if factors_B3 is None else _coloured(some, factors_B3[rows])
    if draws.operation is not None and draws.strength is not None:
        images = images.round_()
        strength_BL = _to(draws.strength, device)
        for turn, operation_B in enumerate(draws.operation.T):
            for name in COLOURS:
                rows = (operation_B == OPERATIONS.index(name)).nonzero()[0]
                if len(rows):
                    chosen = _to(rows, device)
                    some = _operate(name, images[chosen], strength_BL[chosen, turn])
                    images[chosen] = some
    return images


def erase(images_BCHW: Tensor, erased_B4: NDArray[np.int64]) -> Tensor:
    """Normalised images without the rectangles of ``Draws.erased``: 0, the mean colour.
    Changed in place."""
    for row, (top, left, height, width) in enumerate(erased_B4.tolist()):
        if height:
            images_BCHW[row, :, top : top + height, left : left + width] = 0.0
    return images_BCHW


def normalised(images_BCHW: Tensor, preprocessing: Preprocessing) -> Tensor:
    """0..255 to the scale of the weights, channels_last."""
    images = images_BCHW.contiguous(memory_format=torch.channels_last)
    count, channels, height, width = images.shape
    lines = images.permute(0, 2, 3, 1).view(count, height, width * channels)
    mean, scale = _moments(preprocessing.mean, preprocessing.std, width, images.device)
    lines.sub_(mean).mul_(scale)
    return images


_FEW = 4
"""Images that a CPU samples at once, so that they stay in its cache."""


def _to(array: object, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


@lru_cache(maxsize=8)
def _moments(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """For a line of ``width`` pixels, so that a CPU adds and multiplies in long runs."""
    means = torch.tensor([255.0 * value for value in mean], device=device)
    scales = torch.tensor([1.0 / (255.0 * value) for value in std], device=device)
    return means.repeat(width), scales.repeat(width)


def _grid(affine_B23: Tensor, size: int) -> Tensor:
    """Where each output pixel is read, [B, size, size, 2].

    Written out because ``affine_grid`` is several times slower on a CPU.
    """
    axis = (torch.arange(size, device=affine_B23.device) * 2 + 1) / size - 1
    across = affine_B23[:, :, 0, None] * axis
    down = affine_B23[:, :, 1, None] * axis + affine_B23[:, :, 2, None]
    grid = affine_B23.new_empty((len(affine_B23), size, size, 2))
    for xy in (0, 1):
        torch.add(across[:, xy, None, :], down[:, xy, :, None], out=grid[..., xy])
    return grid


def _coloured(images_BCHW: Tensor, factors_B3: Tensor) -> Tensor:
    """Brightness, then contrast, then saturation, as one linear map per image.

    Deviation from torchvision's ColorJitter: a fixed order, no hue, and values
    are cut to 0..255 once, at the end.
    """
    count, channels, height, width = images_BCHW.shape
    brightness, contrast, saturation = factors_B3[:, :, None].unbind(1)
    grey = images_BCHW.new_tensor(_GREY)
    pixels = images_BCHW.reshape(count, channels, height * width)
    mean_grey = (pixels.mean(2) * grey).sum(1, keepdim=True)
    both = (brightness * contrast)[:, :, None]
    matrix = saturation[:, :, None] * torch.eye(3, device=grey.device) + (
        1 - saturation[:, :, None]
    ) * grey.expand(3, 3)
    offset = (1 - contrast) * brightness * mean_grey
    changed = torch.baddbmm(offset[:, :, None], both * matrix, pixels)
    return changed.clamp_(0, 255).view(count, channels, height, width)


def _operate(name: str, images_BCHW: Tensor, strength_B: Tensor) -> Tensor:
    """One operation of COLOURS on whole-numbered images.

    Equal to torchvision's kernels on uint8 within one level of 255: the factor
    is a tensor here, one per image, where theirs is one number.
    """
    strength = strength_B.view(-1, 1, 1, 1)
    factor = 1 + strength
    if name == "Brightness":
        return (images_BCHW * factor).clamp_(0, 255).floor_()
    if name in ("Color", "Contrast"):
        red, green, blue = images_BCHW.unbind(1)
        grey = (red * _GREY[0] + green * _GREY[1] + blue * _GREY[2]).floor_().unsqueeze(1)
        if name == "Contrast":  # whole numbers add up exactly in any order
            total = grey.double().sum((1, 2, 3), keepdim=True)
            grey = (total / grey[0].numel()).float()
        return (images_BCHW * factor + grey * (1 - factor)).clamp_(0, 255).floor_()
    if name == "Sharpness":
        kernel = images_BCHW.new_ones((3, 1, 3, 3))
        kernel[:, :, 1, 1] = 5
        blurred = (functional.conv2d(images_BCHW, kernel, groups=3) / 13).round_()
        result = images_BCHW.clone()
        inner = result[..., 1:-1, 1:-1]
        inner.add_((blurred - inner) * (1 - factor))
        return result.clamp_(0, 255).floor_()
    if name == "Posterize":
        step = torch.exp2(8 - strength)
        return (images_BCHW / step).floor_() * step
    if name == "Invert":
        return 255 - images_BCHW
    if name == "Solarize":
        return torch.where(images_BCHW >= 255 * strength, 255 - images_BCHW, images_BCHW)
    kernel_of = {"AutoContrast": vision.autocontrast_image, "Equalize": vision.equalize_image}
    changed: Tensor = kernel_of[name](images_BCHW.to(torch.uint8))
    return changed.float()
