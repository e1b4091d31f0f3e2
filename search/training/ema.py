"""A moving average of what a trial trains: what is evaluated, kept and exported.

Averaged are the trained parameters and, at the same rate, the running statistics of
trained batch-norm: they go with weights that lag as much. Counters are copied. The
average starts at the weights that the trial starts from, which a fixed decay would
hold on to for long: in the first steps it is lower (:func:`decay_at`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


def decay_at(decay: float, step: int) -> float:
    """The share of the average that a step keeps.

    Args:
        decay: Of the setting ``ema``, in [0, 1).
        step: 1-based.

    Returns:
        ``min(decay, (1 + step) / (10 + step))``, e.g. 2/11 after the first step;
        .999 is reached at step 8,990.

    Source: TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``, as timm and
    EfficientNet use it.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """The averages, by the library's names.

    Args:
        live: The tensors that training changes, of ``model.state_dict()``; the model's
            own, not copies.
        decay: In (0, 1).
    """

    def __init__(self, live: Mapping[str, Tensor], decay: float) -> None:
        self._live = dict(live)
        self._decay = decay
        self._floats = [name for name, tensor in live.items() if tensor.is_floating_point()]
        self.averages = {name: tensor.detach().clone() for name, tensor in live.items()}
        """Between updates; to be read, and copied into."""

    def begin(self) -> None:
        """Start again from the weights as they are."""
        self._take(self._live)

    def update(self, step: int) -> None:
        """Take in the weights after optimiser step ``step``, 1-based."""
        average = get_ema_multi_avg_fn(  # type: ignore[no-untyped-call]
            decay_at(self._decay, step)
        )
        averages, live = self.averages, self._live
        average([averages[name] for name in self._floats], [live[n] for n in self._floats], step)
        for name in live.keys() - set(self._floats):
            averages[name].copy_(live[name])

    def restore(self, averages: Mapping[str, Tensor]) -> None:
        """Put back what ``averages`` was.

        Raises:
            KeyError: If a name is missing.
        """
        self._take(averages)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averages; afterwards its own weights, to the last bit."""
        own = {name: tensor.detach().clone() for name, tensor in self._live.items()}
        self._fill(self.averages)
        try:
            yield
        finally:
            self._fill(own)

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, average in self.averages.items():
                average.copy_(tensors[name])

    def _fill(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._live.items():
                tensor.copy_(tensors[name])
