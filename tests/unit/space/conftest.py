"""Reading space texts against the real settings and a small catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import pytest

from search.problems import SearchError
from search.space import Loaded, Override, load
from search.space.settings import SizeRule
from search.training.config import SETTINGS

SIZES = {
    "resnet50": SizeRule(default=224),
    "convnext_tiny": SizeRule(default=224),
    "vit_b_16": SizeRule(default=224, minimum=32, multiple=16),
    "alexnet": SizeRule(default=224, minimum=63),
    "efficientnet_lite0": SizeRule(default=224),
}
TAGS = {
    "resnet50": ("IMAGENET1K_V2", "IMAGENET1K_V1"),
    "convnext_tiny": ("IMAGENET1K_V1",),
    "vit_b_16": ("IMAGENET1K_V1", "IMAGENET1K_SWAG_E2E_V1", "IMAGENET1K_SWAG_LINEAR_V1"),
    "alexnet": ("IMAGENET1K_V1",),
    "efficientnet_lite0": ("IMAGENET1K",),
}
DATA = "data: {path: photos}\n"


class Read(Protocol):
    def __call__(
        self,
        text: str | bytes,
        *,
        overrides: Sequence[Override] = ...,
        env: Mapping[str, str] = ...,
        file: str = ...,
    ) -> Loaded: ...


@pytest.fixture(scope="session")
def read() -> Read:
    """``load`` with the real settings."""

    def run(
        text: str | bytes,
        *,
        overrides: Sequence[Override] = (),
        env: Mapping[str, str] | None = None,
        file: str = "s.yaml",
    ) -> Loaded:
        return load(
            text,
            file=file,
            settings=SETTINGS,
            sizes=SIZES,
            tags=TAGS,
            overrides=overrides,
            env=env or {},
        )

    return run


@pytest.fixture(scope="session")
def space(read: Read) -> Callable[..., Loaded]:
    """Reads the lines of a ``space:`` section; ``data`` is one line."""

    def run(lines: str, more: str = "", data: str = DATA) -> Loaded:
        return read(f"{data}space:\n" + "".join(f"  {x}\n" for x in lines.splitlines()) + more)

    return run


@pytest.fixture(scope="session")
def problems(read: Read) -> Callable[..., list[str]]:
    """The problems of a text: ``line:column: fact | fix | underlined text``."""

    def run(text: str | bytes, **options: object) -> list[str]:
        try:
            read(text, **options)  # type: ignore[arg-type]
        except SearchError as error:
            found = []
            for problem in error.problems:
                place = problem.place
                if place is None:
                    found.append(problem.fact)
                    continue
                marked = place.text[place.column - 1 :][: place.length]
                found.append(
                    f"{place.line}:{place.column}: {problem.fact} | {problem.fix} | {marked}"
                )
            return found
        return []

    return run
