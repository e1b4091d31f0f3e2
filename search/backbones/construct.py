"""The library's own models: made, and made without memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision import models

from search.backbones.arguments import constructor_arguments
from search.backbones.catalogue import CATALOGUE
from search.backbones.mould import Mould

FACTORIES = frozenset({torch.empty, torch.ones, torch.zeros})
"""What layers make parameters with, and buffers of any size."""
_FILLS = frozenset(
    {getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and name[0] != "_"}
    | {Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_}
    | {Tensor.mul_, Tensor.add_, Tensor.clamp_, Tensor.erfinv_}
)
"""What parameters are given values with; none gives them another shape."""


def construct(name: str, *, classes: int, image_size: int) -> nn.Module:
    """The library's model, initialised at random from the global generator."""
    info = CATALOGUE[name]
    arguments: dict[str, Any] = dict(
        constructor_arguments(name, classes=classes, image_size=image_size)
    )
    model: nn.Module
    if info.library == "timm":
        import timm  # an optional part, slow to import

        model = timm.create_model(info.library_name, pretrained=False, **arguments)
        # What a block gives is kept and read again: nothing may be written into it.
        for module in model.modules():
            if getattr(module, "inplace", False) is True:
                module.inplace = False  # type: ignore[assignment]
    else:
        model = models.get_model(info.library_name, weights=None, **arguments)
    # A forward pass that is recorded to be cut (timm's) has the mode written into it.
    return model.eval()


def skeleton(name: str, *, classes: int, image_size: int) -> nn.Module:
    """The library's model without memory behind its tensors."""
    return _mould(name, classes, image_size).cast()


@lru_cache(maxsize=8)
def _mould(name: str, classes: int, image_size: int) -> Mould:
    """Constructing takes several times as long as copying."""
    return Mould(_pristine(name, classes, image_size))


def _pristine(name: str, classes: int, image_size: int) -> nn.Module:
    mode = _WithoutMemory() if name.startswith("regnet_") else torch.device("meta")
    with mode, _WithoutValues():
        model = construct(name, classes=classes, image_size=image_size)
    model.to("meta")
    kept = model.state_dict().keys()
    computed = [key for key, _ in model.named_buffers() if key not in kept]
    if computed:  # tables that no file holds, e.g. which position is how far from which
        with torch.random.fork_rng(devices=[]):
            real = construct(name, classes=classes, image_size=image_size)
        for key in computed:
            parent, _, last = key.rpartition(".")
            setattr(model.get_submodule(parent), last, real.get_buffer(key))
    return model


class _WithoutMemory(TorchFunctionMode):
    """``torch.device("meta")`` for what layers make parameters with, and for
    nothing else: RegNet works out its widths with tensors that have values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in FACTORIES and given.get("device") is None:
            given["device"] = "meta"
        return func(*args, **given)


class _WithoutValues(TorchFunctionMode):
    """Leaves tensors that have no memory as they are where they would be given values:
    there is nothing to see of it, and torch imports its compiler to do it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FILLS and (filled := [*args, *given.values()][0]).is_meta:
            return filled
        return func(*args, **given)


def loadable(tensors: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """A state dict that ``load_state_dict`` takes whatever the model is.

    MNASNet refuses one that does not say which version of it it is of, and a
    mapping of tensors cannot say. Only the outermost module is named: inner ones
    of no version are upgraded as files of old versions are.
    """
    state = OrderedDict(tensors)
    state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    return state
