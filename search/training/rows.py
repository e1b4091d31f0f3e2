"""Features as the rows of a file, and back, to the same bits and the same layout."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from search.space.spec import ActivationType
from search.training.segments import RowForm

_TYPES = {"float16": torch.float16, "float32": torch.float32, "bfloat16": torch.bfloat16}


def to_rows(features: Tensor, activations: ActivationType) -> tuple[NDArray[Any], RowForm]:
    """Features [N, ...] that are rounded already, as rows on the host."""
    channels_last = features.ndim == 4 and features.stride(1) == 1
    plain = features.permute(0, 2, 3, 1) if channels_last else features
    # bf16 has float32's range: it fits into float32 whole, and was made to fit float16.
    rows = plain.to(_TYPES[activations]).contiguous().cpu().numpy()
    form = RowForm(
        shape=tuple(rows.shape[1:]),
        dtype=activations,
        computed=str(features.dtype).removeprefix("torch."),
        channels_last=channels_last,
    )
    return rows, form


def from_rows(rows: NDArray[Any], form: RowForm, device: torch.device) -> Tensor:
    """The features again, on a device, as they were computed."""
    stored = torch.from_numpy(rows)
    if device.type == "cuda":
        stored = stored.pin_memory().to(device, non_blocking=True)
    features = stored.to(_TYPES[form.computed])
    return features.permute(0, 3, 1, 2) if form.channels_last else features
