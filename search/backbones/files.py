"""Tensors out of a file that anybody may have written, and nothing but tensors."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from search.problems import SearchError, fail

SAFE = ".safetensors"
TORCH = (".pth", ".pt")
WRAPPER = "state_dict"
"""The one key under which a ``.pth`` may hold its tensors."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file, on the CPU.

    A ``.pth`` holds a mapping of names to tensors alone, or that mapping under
    the single key ``state_dict``. Anything else in it is refused unread: it is
    unpickled with ``weights_only=True``, which runs nothing.

    Raises:
        SearchError: If the file cannot be read as that; exit 2.
    """
    suffix = path.suffix.lower()
    if suffix == SAFE:
        return _safetensors(path)
    if suffix in TORCH:
        return _torch(path)
    raise fail(
        f"{path}: {suffix or 'no ending'} is no format of weights that we read",
        fix=f"{SAFE}, or {' or '.join(TORCH)} of tensors alone",
    )


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors = dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise fail(f"{path} is not a safetensors file: {error}", fix=_fix(path)) from error
    if not tensors:
        raise _refused(path, "there is no tensor in it")
    return tensors


def _torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files of older versions
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        RuntimeError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OSError,
    ) as error:
        raise _refused(path, "it is damaged, or holds more than tensors") from error
    if isinstance(content, Mapping) and list(content) == [WRAPPER]:
        content = content[WRAPPER]
    if not isinstance(content, Mapping) or not content:
        raise _refused(path, f"it holds a {type(content).__name__}, not tensors by name")
    for name, value in content.items():
        if not isinstance(name, str):
            raise _refused(path, f"it holds a key of type {type(name).__name__}")
        if not isinstance(value, Tensor):
            raise _refused(path, f"{name} is a {type(value).__name__}, not a tensor")
        if value.layout is not torch.strided or value.is_quantized or value.is_complex():
            raise _refused(path, f"{name} is not a plain tensor")
    return {name: value.detach() for name, value in content.items()}


def _refused(path: Path, fact: str) -> SearchError:
    return fail(f"{path} is refused as weights: {fact}", fix=_fix(path))


def _fix(path: Path) -> str:
    return f"safetensors.torch.save_file(model.state_dict(), {path.with_suffix(SAFE).name!r})"
