"""timm's models as the same five blocks and a head, cut where timm itself groups them.

timm says of each model where its features of every resolution come from
(``feature_info``): the last four are the ends of the stages, the one before them is the
end of the stem; where there are only four, the stem is what comes before the first of
them. A model of one resolution (ViT) has four equal runs of its layers. Everything
pretrained behind the last of them belongs to stage 4. A model whose parts hand on more
than one tensor, or which has no such groups, is refused with the reason.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import nn

from search.backbones.steps import Layout, Steps
from search.backbones.traced import CannotSplit, Part, parts_of

STAGES = 4


def timm_layout(model: nn.Module) -> Layout:
    """How a model of timm falls into blocks.

    Raises:
        CannotSplit: If it does not.
    """
    head = _head_name(model)
    features = _features(model)
    opened = _ancestors(head, *(name for name, _ in features))
    parts = parts_of(model, opened, closed=head)
    at = next((i for i, part in enumerate(parts) if head in part.roots), None)
    if at is None or parts[at].single is None:
        raise CannotSplit(f"{head}, its last layer, takes more than the pooled features")
    body, after = parts[:at], parts[at + 1 :]
    if any(part.holds_tensors() for part in after):
        raise CannotSplit(f"something is learnt behind {head}, its last layer")
    end = max((i + 1 for i, part in enumerate(body) if part.holds_tensors()), default=0)
    cuts = [_extended(body, cut) for cut in _cuts(body, features)]
    bounds = [0, *cuts, end]
    if any(low >= high for low, high in pairwise(bounds)):
        raise CannotSplit("its groups are not one after the other")
    runs = [body[low:high] for low, high in pairwise(bounds)]
    _check_owners(model, runs, head)
    stem, one, two, three, four = (_steps(run) for run in runs)
    return Layout(
        blocks=(stem, one, two, three, four),
        pool=_steps(body[end:]),
        head=head,
        after=_steps(after),
    )


def _head_name(model: Any) -> str:
    """Name of the one last layer."""
    name = model.pretrained_cfg.get("classifier")
    if not isinstance(name, str):
        raise CannotSplit("it has no last layer" if not name else f"it has {len(name)} heads")
    try:
        head = model.get_submodule(name)
    except AttributeError as error:
        raise CannotSplit(f"it has no layer {name}") from error
    one_by_one = type(head) is nn.Conv2d and head.kernel_size == (1, 1) and head.groups == 1
    linear = isinstance(head, nn.Linear) and type(head).__name__ == "Linear"  # timm has its own
    new = type(head) is nn.Sequential  # ours: head: mlp
    if not linear and not one_by_one and not new:
        raise CannotSplit(f"{name}, its last layer, is a {type(head).__name__}")
    return name


def _features(model: Any) -> list[tuple[str, int]]:
    """(module, reduction) of timm's features, from the image on."""
    rows = getattr(model, "feature_info", None) or ()
    return [(str(row["module"]), int(row["reduction"])) for row in rows if row.get("module")]


def _ancestors(*names: str) -> set[str]:
    found = set()
    for name in names:
        parts = name.split(".")
        found |= {".".join(parts[:length]) for length in range(1, len(parts))}
    return found


def _cuts(body: list[Part], features: list[tuple[str, int]]) -> tuple[int, int, int, int]:
    """Where the four stages begin, as places in ``body``."""
    if len(features) < STAGES:
        raise CannotSplit(f"timm groups it into {len(features)} levels, and four are needed")
    spans = [_span(body, name) for name, _ in features]
    if len({reduction for _, reduction in features}) == 1:  # of one resolution, like a ViT
        quarter = len(spans) // STAGES
        one, two, three, four = (spans[quarter * stage][0] for stage in range(STAGES))
    elif len(features) == STAGES:
        one, two, three, four = spans[0][0], spans[0][1], spans[1][1], spans[2][1]
    else:
        one, two, three, four = (end for _, end in spans[-STAGES - 1 : -1])
    return one, two, three, four


def _span(body: list[Part], name: str) -> tuple[int, int]:
    """First place, and the one behind the last, of a module and what is inside it."""
    found = [
        place
        for place, part in enumerate(body)
        if any(root == name or root.startswith(f"{name}.") for root in part.roots)
    ]
    if not found:
        raise CannotSplit(f"{name}, one of timm's groups, is inside of something else")
    return found[0], found[-1] + 1


def _extended(body: list[Part], cut: int) -> int:
    """A cut moved behind what learns nothing: a pooling belongs to what it pools."""
    while cut and cut < len(body) and not body[cut].holds_tensors():
        cut += 1
    return cut


def _check_owners(model: nn.Module, runs: list[list[Part]], head: str) -> None:
    """Every tensor belongs to one block or to the head."""
    kept = set(model.state_dict())
    owned: list[str] = [f"{head}.{name}" for name in model.get_submodule(head).state_dict()]
    for run in runs:
        names: set[str] = set()
        for part in run:
            names.update(name for name in part.loose if name in kept)
            for root, module in part.roots.items():
                names.update(f"{root}.{name}" for name in module.state_dict())
        owned += names
    if len(owned) != len(set(owned)):
        twice = next(name for name in owned if owned.count(name) > 1)
        raise CannotSplit(f"{twice} is used by two of its blocks")
    if kept - set(owned):
        raise CannotSplit(f"{sorted(kept - set(owned))[0]} is used by none of its blocks")


def _steps(parts: list[Part]) -> Steps:
    return tuple(part if part.single is None else part.single for part in parts)
