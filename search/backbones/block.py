"""One of the five blocks of a backbone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from operator import attrgetter

from torch import Tensor, nn

from search.backbones.steps import Steps
from search.backbones.traced import Part


class Block:
    """One of the five: a run of the model's modules, in order."""

    def __init__(
        self,
        name: str,
        steps: Steps,
        model: nn.Module,
        loose: tuple[str, ...],
        *,
        prefixes: Mapping[nn.Module, str],
        kept: Collection[str],
    ) -> None:
        """
        Args:
            name: One of the five.
            steps: What it does, in order.
            model: That it is of.
            loose: Parameters of it that are in no module of its own.
            prefixes: The names of the model's modules.
            kept: Of its tensors, those that its state dict has.
        """
        self.name = name
        self._steps = steps
        self._model = model
        self._loose = loose
        self._roots: dict[str, nn.Module] = {}
        for step in steps:
            if isinstance(step, Part):
                self._roots |= step.roots
                self._loose += tuple(name for name in step.loose if name in kept)
            elif isinstance(step, nn.Module):
                self._roots[prefixes[step]] = step

    def __call__(self, x: Tensor) -> Tensor:
        for step in self._steps:
            x = step(x)
        return x

    @property
    def contents(self) -> tuple[str, ...]:
        """The names in the model of what is in it: modules, and loose parameters."""
        return (*self._loose, *self._roots)

    def modules(self) -> Iterator[nn.Module]:
        """All modules of the block, nested ones included."""
        return chain.from_iterable(root.modules() for root in self._roots.values())

    def train(self, *, mode: bool) -> None:
        """Training or eval mode of all its modules, set as the library sets it: some of
        timm's keep what they computed from their weights until they are told the mode."""
        for root in self._roots.values():
            root.train(mode)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters under the library's names, e.g. ``layer1.0.conv1.weight``."""
        for name in self._loose:
            loose = attrgetter(name)(self._model)
            if isinstance(loose, nn.Parameter):
                yield name, loose
        for prefix, root in self._roots.items():
            yield from root.named_parameters(prefix=prefix)

    def parameters(self) -> Iterator[nn.Parameter]:
        return (parameter for _, parameter in self.named_parameters())

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """What ``model.state_dict()`` has of this block: parameters and buffers."""
        for name in self._loose:
            yield name, attrgetter(name)(self._model).detach()
        for prefix, root in self._roots.items():
            yield from root.state_dict(prefix=f"{prefix}.").items()
