"""Which of the library's modules make up each block, in a line of text."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from search.backbones.stages import Staged


def block_map(staged: Staged) -> tuple[tuple[str, int], ...]:
    """Of each of the five blocks what is in it, and its parameters.

    Returns:
        E.g. ``("conv1, bn1, relu, maxpool", 9536)`` for the stem of resnet18; a run of
        numbered modules is written ``blocks.0-2``, and what holds nothing else than
        what is in the block by its own name.
    """
    return tuple(
        (
            ", ".join(_runs(_whole(block.contents, staged.model))),
            sum(parameter.numel() for parameter in block.parameters()),
        )
        for block in staged.blocks
    )


def _whole(names: Sequence[str], model: nn.Module) -> list[str]:
    """Children that are all there are replaced by their parent, as often as it goes."""
    found = list(names)
    parents = {name.rpartition(".")[0] for name in names} - {""}
    for parent in sorted(parents, key=len, reverse=True):
        inside = model.get_submodule(parent).named_children()
        children = [f"{parent}.{child}" for child, _ in inside]
        if children and set(children) <= set(found):
            found[found.index(children[0])] = parent
            found = [name for name in found if name not in children]
    return found


def _runs(names: Sequence[str]) -> list[str]:
    """Numbered neighbours in one: ``blocks.0, blocks.1`` is ``blocks.0-1``."""
    found: list[tuple[str, int, int]] = []
    for name in names:
        parent, _, last = name.rpartition(".")
        number = int(last) if last.isdecimal() else -1
        if found and number > 0 and found[-1][0] == parent and found[-1][2] == number - 1:
            found[-1] = (parent, found[-1][1], number)
        elif number >= 0:
            found.append((parent, number, number))
        else:
            found.append((name, -1, -1))
    return [_text(*run) for run in found]


def _text(name: str, first: int, last: int) -> str:
    if first < 0:
        return name
    numbers = f"{first}" if first == last else f"{first}-{last}"
    return f"{name}.{numbers}" if name else numbers
