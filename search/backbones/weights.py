"""Pretrained tensors from a located file, checked against the catalogue's model.

A file is read as safetensors, or by ``torch.load(weights_only=True)``; what it
holds besides tensors is refused, so that nothing in it can run. The result is
the body alone, under the library's names: the original head is dropped, and may
have had any number of classes or be absent, and so are the auxiliary heads of
GoogLeNet and Inception. Everything else must fit exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from search.backbones.arguments import AUXILIARY
from search.backbones.availability import Located
from search.backbones.catalogue import CATALOGUE
from search.backbones.construct import loadable, skeleton
from search.backbones.download import check, fetch, weights_hash
from search.backbones.files import read_tensors
from search.backbones.info import BackboneInfo
from search.backbones.layout import layout
from search.backbones.lite import renamed
from search.backbones.positions import POSITIONS, grid
from search.backbones.timm_names import is_timm
from search.backbones.timm_weights import converted
from search.problems import SearchError, fail

__all__ = ["body", "fetch", "load_state", "weights_hash"]

OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)")
"""Names in torchvision's own DenseNet files, ``norm.1.weight`` for ``norm1.weight``.

Source: ``torchvision.models.densenet._load_state_dict``, which turns them so.
"""

SHOWN = 4
"""How many names of a kind a message lists."""


def load_state(located: Located) -> dict[str, Tensor] | None:
    """The body's tensors on the CPU, in float32, under the library's names.

    Returns:
        None where the source is random (``stages.build`` then initialises the
        body), else what ``stages.build`` takes as ``state``.

    Raises:
        SearchError: If the file's sha256 is not the expected one, it holds more
            than tensors, or they are not those of this backbone.
    """
    if located.path is None:
        return None
    check(located)
    return body(CATALOGUE[located.name], read_tensors(located.path), str(located.path))


def body(info: BackboneInfo, tensors: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Check tensors against a backbone and drop its head. See :func:`load_state`.

    Args:
        info: A row of the catalogue.
        tensors: Under the library's names, older ones that the library still
            reads, or those of EfficientNet-PyTorch for a lite backbone.
        file: What messages call the file.
    """
    model = skeleton(info.name, classes=1000, image_size=info.size.default)
    head = layout(info.name, model).head
    given = _given(info, tensors, model, head)
    for name in (f"{head}.weight", f"{head}.bias"):
        given.pop(name, None)
    model.set_submodule(head, nn.Identity())
    wanted = model.state_dict()
    positions = given.pop(POSITIONS, None) if POSITIONS in wanted else None
    if positions is not None:
        _check_positions(info, positions, wanted[POSITIONS].shape[2], file)
        given[POSITIONS] = positions[:, :1].expand(wanted[POSITIONS].shape)
    _check_shapes(info, given, wanted, file)
    # The library's own loading also knows the names of its older versions.
    try:
        found = model.load_state_dict(loadable(given), strict=False, assign=True)
    except RuntimeError as error:  # a wrong shape under an older name
        raise _unfit(info, file, " ".join(str(error).split())) from error
    if found.missing_keys or found.unexpected_keys:
        raise _unfit(
            info,
            file,
            "; ".join(
                f"{len(names)} tensors are {kind}: {_some(names)}"
                for kind, names in (
                    ("missing", found.missing_keys),
                    ("unknown", found.unexpected_keys),
                )
                if names
            ),
        )
    loaded = model.state_dict()
    if positions is not None:
        loaded[POSITIONS] = positions
    return {name: tensor.to(wanted[name].dtype).contiguous() for name, tensor in loaded.items()}


def _given(
    info: BackboneInfo, tensors: Mapping[str, Tensor], model: nn.Module, head: str
) -> dict[str, Tensor]:
    """The file's tensors under today's names, without auxiliary heads."""
    if is_timm(info.name):
        return converted(info, tensors, model, head)
    if info.library == "timm":
        return renamed(tensors, model)
    extra = AUXILIARY.get(info.name, ())
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(extra)}
    if not info.name.startswith("densenet"):
        return kept
    return {OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in kept.items()}


def _check_positions(info: BackboneInfo, positions: Tensor, width: int, file: str) -> None:
    shape = tuple(positions.shape)
    if len(shape) != 3 or shape[0] != 1 or shape[2] != width or grid(shape[1]) is None:
        raise _unfit(info, file, f"{POSITIONS} has the shape {shape}, not (1, 1 + n * n, {width})")


def _check_shapes(
    info: BackboneInfo, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: str
) -> None:
    wrong = [
        f"{name} {_form(tensor)} instead of {_form(wanted[name])}"
        for name, tensor in given.items()
        if name in wanted
        and (
            tensor.shape != wanted[name].shape
            or tensor.is_floating_point() != wanted[name].is_floating_point()
        )
    ]
    if wrong:
        raise _unfit(info, file, f"{len(wrong)} tensors have another shape: {_some(wrong)}")


def _form(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _unfit(info: BackboneInfo, file: str, fact: str) -> SearchError:
    library = "torchvision" if info.library == "torchvision" else "timm"
    return fail(
        f"{file} does not fit {info.name}: {fact}",
        fix=f"a state dict of {library}'s {info.library_name}; its last layer may be missing",
    )
