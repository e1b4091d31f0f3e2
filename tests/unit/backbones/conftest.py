"""One thread, and models whose every parameter matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def lively() -> Callable[[nn.Module], nn.Module]:
    """Shake the parameters that start as constants: a ViT's head starts at 0 and
    ConvNeXt's layer scale at 1e-6, which would hide a block that is left out."""

    def shake(model: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                values = parameter.flatten()
                if values[0] == values[-1] == values[len(values) // 2]:
                    noise = torch.empty_like(parameter).uniform_(-0.02, 0.02, generator=generator)
                    parameter.add_(noise)
        return model.eval()

    return shake
