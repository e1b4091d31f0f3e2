"""What settings do to images: which recipe they are, and what is drawn from it."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import AutoAugment, RandAugment, RandomErasing, TrivialAugmentWide

from search.training.activations import Family
from search.training.augmentation import Draws, draw
from search.training.config import POLICIES, TrialConfig
from search.training.erasing import rectangles
from search.training.inputs import EVALUATION, Geometry
from search.training.operations import (
    AUTO_STRENGTHS,
    IMAGENET,
    OPERATIONS,
    SIGNED,
    STRENGTHS,
    TRIED,
    strengths,
)
from search.training.recipe import RECIPES, Recipe, recipe_of
from tests.unit.training.test_warp import _preprocessing

Other = Callable[..., TrialConfig]
COUNT = 20_000
KEYS = np.arange(COUNT, dtype=np.uint64) * np.uint64(2_654_435_761)


def _draws(recipe: Recipe, size: int = 128) -> Draws:
    return draw(recipe, seed=5, view=0, keys=KEYS, image_size=size)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({"augmentation": "none", "rotation": 30, "erasing": 1.0}, None, id="none"),
        pytest.param({}, Recipe(crop=60, flip="horizontal"), id="light"),
        pytest.param(
            {"rotation": 15, "scale": 15, "colour": 20}, RECIPES["medium"], id="medium_by_parts"
        ),
        pytest.param(
            {"augmentation": "medium", "rotation": 0, "scale": 0, "colour": 0},
            RECIPES["light"],
            id="parts_taken_away",
        ),
        pytest.param(
            {"augmentation": "trivialaugment"}, RECIPES["heavy"], id="two_names_of_one_recipe"
        ),
        pytest.param(
            {"augmentation": "trivialaugment", "flip": "none", "crop": 20, "erasing": 0.25},
            Recipe(crop=20, operations="trivialaugment", erasing=0.25),
            id="parts_replaced",
        ),
        pytest.param(
            {"augmentation": "randaugment", "randaugment_operations": 3},
            replace(RECIPES["randaugment"], count=3),
            id="randaugment",
        ),
        pytest.param(
            {"augmentation": "light", "randaugment_magnitude": 20},
            RECIPES["light"],
            id="randaugments_settings_are_its_own",
        ),
        pytest.param(
            {"augmentation": "custom", "flip": "both", "rotation": 180},
            Recipe(flip="both", rotation=180),
            id="custom",
        ),
    ],
)
def test_settings_replace_their_part_of_the_policy(
    settings: dict[str, Any], expected: Recipe | None, other: Other
) -> None:
    assert recipe_of(other(**settings)) == expected


def test_every_policy_has_a_recipe() -> None:
    assert set(POLICIES) == {"none", *RECIPES}


# one other value for each field: what changes pixels must change the name
CHANGES: dict[str, Any] = {
    "rotation": 10,
    "scale": 10,
    "crop": 10,
    "flip": "both",
    "colour": 10,
    "operations": "autoaugment",
    "count": 3,
    "magnitude": 10,
    "erasing": 0.1,
}


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
@pytest.mark.parametrize("policy", RECIPES)
def test_what_is_stored_of_two_strengths_is_never_shared(policy: str, field: str) -> None:
    recipe = RECIPES[policy]
    if getattr(recipe, field) == CHANGES[field]:
        pytest.skip("the policy has this already")
    changed = replace(recipe, **{field: CHANGES[field]})
    assert _view_of(changed) != _view_of(recipe)
    assert _view_of(changed) == _view_of(replace(recipe, **{field: CHANGES[field]}))


@pytest.mark.slow
def test_what_is_stored_of_all_strengths_has_its_own_place() -> None:
    recipes = {Recipe(rotation=turn, crop=crop) for turn in range(181) for crop in range(93)}
    recipes |= {Recipe(erasing=step / 100) for step in range(101)}
    assert len({_view_of(recipe) for recipe in recipes}) == len(recipes) == 181 * 93 + 100


def test_what_is_stored_of_evaluation_is_shared_by_all() -> None:
    assert {_view_of(recipe, EVALUATION) for recipe in RECIPES.values()} == {"evaluation"}
    assert _view_of(None, 3) == "evaluation"


def test_what_was_stored_of_old_policies_is_found_where_it_was() -> None:
    names = {policy: _view_of(RECIPES[policy]) for policy in ("light", "medium", "heavy")}
    assert names == {
        "light": "light-9-00004",
        "medium": "medium-9-00004",
        "heavy": "heavy-9-00004",
    }


def _view_of(recipe: Recipe | None, number: int = 4) -> str:
    geometry = Geometry(
        image_size=64, preprocessing=_preprocessing(), recipe=recipe, augmentation_seed=9
    )
    return Family(
        backbone="resnet18",
        weights_hash="",
        geometry=geometry,
        precision="float16",
        arithmetic="",
    ).view(number)


@pytest.mark.parametrize(
    ("theirs", "bins", "wide"),
    [
        pytest.param(TrivialAugmentWide, STRENGTHS, True, id="trivialaugment"),
        pytest.param(RandAugment, STRENGTHS, False, id="randaugment"),
        pytest.param(AutoAugment, AUTO_STRENGTHS, False, id="autoaugment"),
    ],
)
@pytest.mark.parametrize("size", [128, 224])
def test_strengths_are_torchvisions(theirs: Any, bins: int, wide: bool, size: int) -> None:
    table = strengths(bins, size, wide=wide)
    compared = 0
    for name, (of, signed) in theirs._AUGMENTATION_SPACE.items():
        assert (name in SIGNED) == signed
        values = of(bins, size, size)
        expected = np.zeros(bins) if values is None else values.double().numpy()
        assert table[OPERATIONS.index(name)] == pytest.approx(expected, abs=1e-4)
        compared += 1
    assert compared == 14


@pytest.mark.slow
@pytest.mark.parametrize(("count", "magnitude"), [(1, 0), (2, 9), (4, 30)])
def test_randaugment_draws_each_operation_evenly_at_one_strength(
    count: int, magnitude: int
) -> None:
    recipe = replace(RECIPES["randaugment"], count=count, magnitude=magnitude)
    draws = _draws(recipe)
    assert draws.operation is not None
    assert draws.strength is not None
    assert draws.operation.shape == draws.strength.shape == (COUNT, count)
    for turn in range(count):
        counts = np.bincount(draws.operation[:, turn], minlength=TRIED)
        # 1428.6 expected of each of 14; chi-square with 13 degrees, 99.99 % below 42
        assert ((counts - COUNT / TRIED) ** 2 / (COUNT / TRIED)).sum() < 42
    for name, (of, signed) in RandAugment._AUGMENTATION_SPACE.items():
        ours = draws.strength[draws.operation == OPERATIONS.index(name)]
        values = of(STRENGTHS, 128, 128)
        top = 0.0 if values is None else float(values[magnitude])
        assert np.abs(ours) == pytest.approx(top, abs=1e-3)
        if signed and top:
            assert abs((ours < 0).mean() - 0.5) < 0.06  # standard error .013
        else:
            assert (ours >= 0).all()
    if count > 1:
        assert abs(np.corrcoef(draws.operation[:, :2].T)[0, 1]) < 0.03


def test_autoaugment_is_torchvisions_policy_for_imagenet() -> None:
    theirs = AutoAugment()._policies
    named = [tuple((name, p, 0 if step is None else step) for name, p, step in s) for s in theirs]
    assert named == list(IMAGENET)


def test_autoaugment_applies_each_operation_as_often_as_torchvision() -> None:
    draws = _draws(RECIPES["autoaugment"])
    assert draws.operation is not None
    assert draws.strength is not None
    for turn in (0, 1):
        expected: Counter[tuple[str, float]] = Counter()
        for sub in IMAGENET:
            name, chance, step = sub[turn]
            row = OPERATIONS.index(name)
            strength = strengths(AUTO_STRENGTHS, 128, wide=False)[row, step]
            sides = (1, -1) if name in SIGNED and strength else (1,)
            for side in sides:
                expected[name, round(side * strength, 4)] += chance / len(IMAGENET) / len(sides)
            expected["Identity", 0.0] += (1 - chance) / len(IMAGENET)
        pairs = zip(draws.operation[:, turn], draws.strength[:, turn].tolist(), strict=True)
        found = Counter((OPERATIONS[o], round(s, 4) + 0.0) for o, s in pairs)
        assert set(found) == {key for key, chance in expected.items() if chance}
        for key, chance in expected.items():
            # five standard errors
            assert abs(found[key] / COUNT - chance) <= 5 * math.sqrt(chance / COUNT)


def test_geometric_operations_are_joined_in_their_order() -> None:
    """A turn of 30 degrees and a shift: where the corner of the output is read."""
    recipe = replace(RECIPES["randaugment"], crop=0, flip="none")
    draws = _draws(recipe, size=331)
    assert draws.operation is not None
    assert draws.strength is not None
    turn, shift = OPERATIONS.index("Rotate"), OPERATIONS.index("TranslateX")
    for first, second in ((turn, shift), (shift, turn)):
        rows = np.flatnonzero((draws.operation == (first, second)).all(axis=1))
        assert len(rows) > 20
        for row in rows[:20]:
            place = np.array([0.25, -0.5])
            for operation, strength in reversed(
                list(zip(draws.operation[row], draws.strength[row], strict=True))
            ):  # from the output back: what was done last is undone first
                if operation == turn:
                    angle = math.radians(strength)
                    cos, sin = math.cos(angle), math.sin(angle)
                    place = np.array([[cos, -sin], [sin, cos]]) @ place
                else:
                    place = place - np.array([2 * np.trunc(strength) / 331, 0])
            assert draws.affine[row] @ [0.25, -0.5, 1] == pytest.approx(place, abs=1e-5)


@pytest.mark.parametrize("rotation", [0, 1, 30, 180])
@pytest.mark.parametrize("scale", [0, 50])
def test_turns_and_zooms_are_within_their_strength_and_reach_it(rotation: int, scale: int) -> None:
    matrix = _draws(Recipe(rotation=rotation, scale=scale)).affine[:, :, :2].astype(float)
    angle = np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1]))
    zoom = np.log(np.sqrt(np.linalg.det(matrix)))
    assert np.abs(angle).max() == pytest.approx(rotation, rel=0.001, abs=1e-4)
    assert angle.std() == pytest.approx(rotation / math.sqrt(3), rel=0.02, abs=1e-4)
    most = math.log(1 + scale / 100)
    assert np.abs(zoom).max() == pytest.approx(most, rel=0.001, abs=1e-6)
    assert abs(zoom.mean()) < 0.01


@pytest.mark.parametrize("crop", [0, 10, 60, 92])
def test_crops_cut_away_up_to_their_share(crop: int) -> None:
    draws = _draws(Recipe(crop=crop))
    area = np.abs(np.linalg.det(draws.affine[:, :, :2].astype(float)))
    # a crop that fits in none of ten tries is cut to the image
    assert area.min() >= (1 - crop / 100) * 0.9 - 1e-6
    assert area.min() == pytest.approx(1 - crop / 100, abs=0.1)
    assert area.max() <= 1 + 1e-6


@pytest.mark.parametrize("colour", [0, 5, 100])
def test_colours_change_by_up_to_their_strength(colour: int) -> None:
    found = _draws(Recipe(colour=colour)).colour
    if colour == 0:
        assert found is None
        return
    assert found is not None
    assert np.abs(found - 1).max() == pytest.approx(colour / 100, rel=0.001)


def test_one_strength_does_not_move_what_is_drawn_for_another() -> None:
    """Trials that differ in one strength see the same crops."""
    one, two = _draws(Recipe(crop=60)), _draws(Recipe(crop=60, colour=10, erasing=0.5))
    assert np.array_equal(one.affine, two.affine)


SIZE = 96


def _erased(probability: float) -> np.ndarray:
    found = _draws(Recipe(erasing=probability), size=SIZE).erased
    assert found is not None
    return found


def test_the_stated_share_of_views_is_erased_and_more_of_them_where_it_is_higher() -> None:
    assert _draws(Recipe()).erased is None
    quarter, whole = _erased(0.25), _erased(1.0)
    hit = quarter[:, 2] > 0
    assert abs(hit.mean() - 0.25) < 0.02  # standard error .003
    assert np.array_equal(quarter[hit], whole[hit])
    assert (whole[:, 2] > 0).mean() > 0.999


@pytest.mark.slow
def test_rectangles_have_torchvisions_distribution() -> None:
    ours = _erased(1.0)
    ours = ours[ours[:, 2] > 0]
    theirs_of = RandomErasing(p=1.0)
    image = torch.zeros(3, SIZE, SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [theirs_of.make_params([image]) for _ in range(6000)]
    theirs = np.array([[d["i"], d["j"], d["h"], d["w"]] for d in drawn if d["v"] is not None])
    for column in range(4):
        levels = (0.05, 0.25, 0.5, 0.75, 0.95)
        one, two = (np.quantile(each[:, column], levels) for each in (ours, theirs))
        assert np.abs(one - two).max() <= 3, column  # pixels of 96
    area = ours[:, 2] * ours[:, 3] / SIZE**2
    assert area.min() >= 0.02 * 0.95
    assert area.max() <= 0.33 * 1.03
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= SIZE).all()


def test_nothing_is_erased_where_no_try_fits() -> None:
    ones = np.full((3, 10), 0.999)
    found = rectangles(
        1.0, whether_N=np.zeros(3), area_NT=ones, ratio_NT=ones, place_N2=ones[:, :2], size=32
    )
    # .33 of 1024 pixels at a ratio of 3.3: 33 x 10, higher than the view
    assert not found[:, 2:].any()
