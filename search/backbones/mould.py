"""Copies of a model in a millisecond.

``copy.deepcopy`` of an EfficientNet takes 15 ms and makes so many objects that Python
looks for garbage among all others in between; a trial that trains a head on stored
features takes 50. What pickle wrote once is read again in one.
"""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

from torch import Tensor, nn


class Mould:
    """A model to make copies of."""

    def __init__(self, model: nn.Module) -> None:
        """
        Args:
            model: Not to be changed afterwards.
        """
        self._model = model
        self._tensors: list[Tensor] = []
        self._pickled: bytes | None
        try:
            self._pickled = _written(model, self._tensors)
        except (pickle.PicklingError, AttributeError, TypeError):  # e.g. a function in a function
            self._pickled = None

    def cast(self) -> nn.Module:
        """A copy that shares no tensor with the model; what it shares within itself, the
        copy does as well."""
        if self._pickled is None:
            return copy.deepcopy(self._model)
        model: nn.Module = _Reader(self._pickled, self._tensors).load()
        return model


def _written(model: nn.Module, tensors: list[Tensor]) -> bytes:
    """The model without its tensors, which are appended to ``tensors``."""
    file = io.BytesIO()
    _Writer(file, tensors).dump(model)
    return file.getvalue()


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, tensors: list[Tensor]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._tensors = tensors
        self._numbers: dict[int, int] = {}

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        number = self._numbers.setdefault(id(value), len(self._tensors))
        if number == len(self._tensors):
            self._tensors.append(value)
        return number


class _Reader(pickle.Unpickler):
    """Reads what this process has written itself."""

    def __init__(self, pickled: bytes, tensors: list[Tensor]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._tensors = tensors
        self._copies: dict[int, Tensor] = {}

    def persistent_load(self, number: int) -> Tensor:
        if number not in self._copies:
            self._copies[number] = _copied(self._tensors[number])
        return self._copies[number]


def _copied(tensor: Tensor) -> Tensor:
    # There is nothing to copy behind a meta tensor.
    values = tensor.detach() if tensor.is_meta else tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(values, requires_grad=tensor.requires_grad)
    return values
