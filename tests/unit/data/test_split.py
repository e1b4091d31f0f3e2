"""The laws of the split: seeded, stratified, groups whole, blind to the order of files."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.data.images import PARTS
from search.data.listing import Found
from search.data.split import apportion, assign_parts, take_subset
from search.space.spec import SplitSpec

SPLIT = SplitSpec(val=0.2, test=0.2, seed=0)


def found(counts: dict[str, int], part: str | None = None) -> list[Found]:
    return [
        Found(path=f"{part or ''}{label}/{number}.png", label=label, part=part)  # type: ignore[arg-type]
        for label, count in counts.items()
        for number in range(count)
    ]


def tally(images: tuple[Found, ...]) -> dict[str, Counter[str]]:
    return {part: Counter(image.label for image in images if image.part == part) for part in PARTS}


counts_of_classes = st.dictionaries(
    st.sampled_from("abcdefgh"), st.integers(3, 60), min_size=2, max_size=8
)


@st.composite
def grouped(draw: st.DrawFn, *, one_class: bool = False) -> list[Found]:
    """Images in groups of 1 to 9; a group of one class or of several."""
    images = []
    for group in range(draw(st.integers(6, 24))):
        label = draw(st.sampled_from("ab")) if group > 5 else "ab"[group % 2]
        for number in range(draw(st.integers(1, 9))):
            own = label if one_class else draw(st.sampled_from("ab"))
            images.append(Found(path=f"{group}/{number}", label=own, group=f"g{group}"))
    return images


def test_the_sizes_of_a_plain_split() -> None:
    # solar-cells: 20 % of 821 = 164.2, of 1803 = 360.6, together 525 = 164 + 361
    parts = tally(assign_parts(found({"defective": 821, "sound": 1803}), SPLIT))
    assert parts == {
        "train": {"defective": 493, "sound": 1081},
        "val": {"defective": 164, "sound": 361},
        "test": {"defective": 164, "sound": 361},
    }


def test_three_images_of_a_class_are_one_for_each_part() -> None:
    parts = tally(assign_parts(found({"rare": 3, "common": 100}), SPLIT))
    assert [parts[part]["rare"] for part in PARTS] == [1, 1, 1]
    assert [parts[part]["common"] for part in PARTS] == [60, 20, 20]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    counts=counts_of_classes,
    seed=st.integers(0, 9),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_each_class_has_its_share_of_each_part_within_one_image(
    counts: dict[str, int], seed: int, val: float, test: float
) -> None:
    parts = tally(assign_parts(found(counts), SplitSpec(val=val, test=test, seed=seed)))
    for label, count in counts.items():
        assert all(parts[part][label] for part in PARTS)
        if count >= 10:
            assert abs(parts["val"][label] - val * count) <= 1
            assert abs(parts["test"][label] - test * count) <= 1


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(images=grouped(), seed=st.integers(0, 9), order=st.randoms(use_true_random=False))
def test_the_order_of_the_files_changes_nothing(
    images: list[Found], seed: int, order: random.Random
) -> None:
    split = SplitSpec(seed=seed)
    shuffled = list(images)
    order.shuffle(shuffled)
    assert set(assign_parts(shuffled, split)) == set(assign_parts(images, split))
    assert take_subset(shuffled, 7, seed=seed) == take_subset(images, 7, seed=seed)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(images=grouped(), seed=st.integers(0, 9))
def test_groups_never_straddle_and_train_has_every_class(images: list[Found], seed: int) -> None:
    placed = assign_parts(images, SplitSpec(seed=seed))
    assert [image.path for image in placed] == [image.path for image in images]
    parts = defaultdict(set)
    for image in placed:
        parts[image.group].add(image.part)
    assert all(len(own) == 1 for own in parts.values())
    assert set(tally(placed)["train"]) == {image.label for image in images}


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(images=grouped(one_class=True), seed=st.integers(0, 9))
def test_a_class_with_three_groups_is_in_every_part(images: list[Found], seed: int) -> None:
    parts = tally(assign_parts(images, SplitSpec(seed=seed)))
    assert all(parts[part][label] for part in PARTS for label in "ab")


def test_groups_of_ten_keep_the_shares_near() -> None:
    images = [
        Found(path=f"{label}/{group}/{n}", label=label, group=f"{label}{group}")
        for label in "ab"
        for group in range(20)
        for n in range(10)
    ]
    parts = tally(assign_parts(images, SPLIT))
    assert parts == {
        "train": {"a": 120, "b": 120},
        "val": {"a": 40, "b": 40},
        "test": {"a": 40, "b": 40},
    }


def test_files_of_the_same_content_stay_together() -> None:
    images = found({"a": 40, "b": 40})
    placed = assign_parts(images, SPLIT, same=lambda image: image.path.rsplit("/")[-1])
    parts = defaultdict(set)
    for image in placed:
        parts[image.path.rsplit("/")[-1]].add(image.part)
    assert all(len(own) == 1 for own in parts.values())


def test_a_copy_binds_its_two_groups_together() -> None:
    images = [
        Found(path=f"{group}/{n}", label="ab"[group % 2], group=str(group))
        for group in range(12)
        for n in range(3)
    ]
    content = {"0/0": "copy", "4/2": "copy"}
    placed = assign_parts(images, SPLIT, same=lambda image: content.get(image.path, image.path))
    assert len({image.part for image in placed if image.group in ("0", "4")}) == 1


def test_another_seed_is_another_split_of_the_same_sizes() -> None:
    images = found({"a": 50, "b": 50})
    one, two = (assign_parts(images, SplitSpec(seed=seed)) for seed in (0, 1))
    assert one != two
    assert tally(one) == tally(two)


def test_given_parts_stay_and_the_missing_one_is_cut_from_train() -> None:
    images = [*found({"a": 50, "b": 20}, "train"), *found({"a": 7, "b": 7}, "test")]
    placed = assign_parts(images, SPLIT)
    assert tally(placed) == {
        "train": {"a": 40, "b": 16},
        "val": {"a": 10, "b": 4},
        "test": {"a": 7, "b": 7},
    }
    assert {image.path for image in placed if image.part == "test"} == {
        image.path for image in images if image.part == "test"
    }


def test_all_parts_given_are_left_as_they_are() -> None:
    images = [*found({"a": 5}, "train"), *found({"a": 1}, "val"), *found({"a": 2}, "test")]
    assert assign_parts(images, SPLIT) == tuple(images)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(counts=counts_of_classes, count=st.integers(24, 80), seed=st.integers(0, 9))
def test_a_subset_has_its_size_and_keeps_classes_and_shares(
    counts: dict[str, int], count: int, seed: int
) -> None:
    images = found(counts)
    kept = take_subset(images, count, seed=seed)
    assert len(kept) == min(count, len(images))
    assert set(kept) <= set(images)
    assert list(kept) == sorted(kept, key=lambda image: image.path)
    assert all(n >= 3 for n in Counter(image.label for image in kept).values())
    assert {image.label for image in kept} == set(counts)


def test_a_smaller_subset_is_within_a_larger_one() -> None:
    images = found({"a": 60, "b": 30})
    small, large = (set(take_subset(images, count, seed=3)) for count in (30, 60))
    assert small < large


def test_a_subset_of_given_parts_keeps_every_class_of_every_part() -> None:
    images = [*found({"a": 60, "b": 9}, "train"), *found({"a": 20, "b": 2}, "test")]
    kept = tally(take_subset(images, 20, seed=0))
    assert sum(sum(part.values()) for part in kept.values()) == 20
    assert all(kept[part][label] for part in ("train", "test") for label in "ab")


def test_a_subset_too_small_for_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="6 images are needed, 5 are asked for"):
        take_subset(found({"a": 60, "b": 30}), 5, seed=0)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100), min_size=1),
    total=st.integers(0, 200),
)
def test_apportioned_numbers_sum_up_and_are_within_one_of_exact(
    weights: dict[str, int], total: int
) -> None:
    result = apportion(weights, total)
    assert sum(result.values()) == total
    for key, weight in weights.items():
        assert abs(result[key] - total * weight / sum(weights.values())) < 1
    least = dict.fromkeys(weights, 2)
    if total >= 2 * len(weights):
        kept = apportion(weights, total, least=least)
        assert sum(kept.values()) == total
        assert all(number >= 2 for number in kept.values())


@pytest.mark.slow
def test_many_images_are_split_exactly() -> None:
    images = found(dict.fromkeys("abcdefghij", 1_000))
    assert [sum(part.values()) for part in tally(assign_parts(images, SPLIT)).values()] == [
        6_000,
        2_000,
        2_000,
    ]
