"""The same trial with the store off, filling and warm: the same curve, to the last bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from search.data.cache import Room, entries
from search.training.config import TrialConfig
from search.training.prefix import Boundary, ComputedPrefix, Prefix
from search.training.stored import StoredPrefix, StoreSettings
from search.training.worth import Worth

Curve = Callable[..., list[Any]]
Other = Callable[..., TrialConfig]
OFF = partial(ComputedPrefix, keep_bytes=0)


def _stored(cache: Path, budget: int = 10**9) -> Callable[[Boundary], Prefix]:
    settings = StoreSettings(
        cache=cache,
        room=Room(cache, budget),
        boundaries=frozenset({1, 2, 3, 4, 5}),
        worth=Worth(),
    )
    return partial(StoredPrefix, settings=settings, note=lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "activations", ["float16", pytest.param("float32", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "depth", [0, 1, *(pytest.param(d, marks=pytest.mark.slow) for d in (2, 3))]
)
@pytest.mark.parametrize(
    "policy",
    [
        "light",
        pytest.param("none", marks=pytest.mark.slow),
        pytest.param("medium", marks=pytest.mark.slow),
        pytest.param("heavy", marks=pytest.mark.slow),
        pytest.param("randaugment", marks=pytest.mark.slow),
        pytest.param("autoaugment", marks=pytest.mark.slow),
    ],
)
def test_for_every_policy_and_depth(
    policy: str, depth: int, activations: str, other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(
        unfreeze_depth=depth,
        augmentation=policy,
        views=1 if policy == "none" else 2,
        activations=activations,
    )
    off = curve(config, prefix=OFF)
    assert curve(config, prefix=_stored(tmp_path)) == off
    assert entries(tmp_path)
    assert curve(config, prefix=_stored(tmp_path)) == off


STRENGTHS = {
    "augmentation": "randaugment",
    "rotation": 20,
    "scale": 10,
    "crop": 30,
    "flip": "both",
    "colour": 30,
    "erasing": 0.5,
}


def _files(cache: Path) -> dict[str, int]:
    """What is stored, and when it was written."""
    return {str(p.relative_to(cache)): p.stat().st_mtime_ns for p in cache.rglob("*.rows")}


@pytest.mark.slow
def test_for_strengths_that_replace_parts_of_a_policy_and_equal_ones_share(
    other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(views=1, epochs=1, **STRENGTHS)
    off = curve(config, prefix=OFF)
    assert curve(config, prefix=_stored(tmp_path)) == off
    stored = _files(tmp_path)
    assert len({name.split("/")[-2] for name in stored}) == 2  # evaluation and a view
    again = other(views=1, epochs=1, lr=1e-3, **STRENGTHS)
    assert curve(again, prefix=_stored(tmp_path)) == curve(again, prefix=OFF)
    assert _files(tmp_path) == stored


@pytest.mark.slow
@pytest.mark.parametrize(
    "strength",
    [
        pytest.param({name: value}, id=name, marks=() if name == "erasing" else pytest.mark.slow)
        for name, value in {
            "rotation": 10,
            "scale": 20,
            "crop": 40,
            "flip": "vertical",
            "colour": 20,
            "erasing": 0.25,
            "randaugment_operations": 3,
            "randaugment_magnitude": 20,
        }.items()
    ],
)
def test_two_strengths_never_share(
    strength: dict[str, Any], other: Other, curve: Curve, tmp_path: Path
) -> None:
    one, two = (
        other(views=1, epochs=1, **settings) for settings in (STRENGTHS, STRENGTHS | strength)
    )
    curve(one, prefix=_stored(tmp_path))
    stored = _files(tmp_path)
    off = curve(two, prefix=OFF)
    assert curve(two, prefix=_stored(tmp_path)) == off != curve(one, prefix=OFF)
    new = _files(tmp_path)
    assert {name: new[name] for name in stored} == stored
    folders = {name.split("/")[-2] for name in new}
    assert len(folders) == 3  # evaluation, and one view of each
    assert "evaluation" in folders


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        pytest.param("vit_b_16", 32, marks=pytest.mark.thorough),
        pytest.param("swin_t", 32, marks=pytest.mark.thorough),
        ("convnext_tiny", 32),
        ("resnet18", 32),
        pytest.param("vgg11", 32, marks=pytest.mark.catalogue),  # 133 M parameters
    ],
)
def test_for_every_family(
    backbone: str, size: int, other: Other, curve: Curve, tmp_path: Path
) -> None:
    config = other(backbone=backbone, image_size=size, unfreeze_depth=1, epochs=2)
    off = curve(config, prefix=OFF)
    assert curve(config, prefix=_stored(tmp_path)) == off
    assert curve(config, prefix=_stored(tmp_path)) == off


@pytest.mark.slow
def test_with_room_for_a_part_only(other: Other, curve: Curve, tmp_path: Path) -> None:
    config = other(unfreeze_depth=1, epochs=2)
    off = curve(config, prefix=OFF)
    for budget in (3_000, 30_000, 100_000):
        assert curve(config, prefix=_stored(tmp_path / str(budget), budget)) == off


@pytest.mark.slow
def test_half_precision_is_within_its_bound(other: Other, curve: Curve) -> None:
    exact = curve(other(unfreeze_depth=1, epochs=2, activations="float32"), prefix=OFF)
    rounded = curve(other(unfreeze_depth=1, epochs=2, activations="float16"), prefix=OFF)
    assert rounded != exact
    for (_, one, _), (_, two, _) in zip(exact, rounded, strict=True):
        assert two == pytest.approx(one, rel=5e-3)
