"""What is learnt of an image: its class, its classes, a number; and the way to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from search.data.csv_manifest import list_manifest
from search.data.enough import check_enough
from search.data.images import ImageTable
from search.data.listing import Found
from search.data.manifest import fingerprint, load_table, save_table
from search.data.prepare import prepare
from search.data.split import assign_parts, take_subset
from search.data.targets import scale_of, targets_of
from search.problems import Exit, SearchError
from search.space.spec import DataSpec, SplitSpec, Task


def found(labels: list[str]) -> list[Found]:
    return [
        Found(path=f"{number}.png", label=label, part=None, group="")
        for number, label in enumerate(labels)
    ]


def in_classes(sets: list[set[str]]) -> list[Found]:
    return [
        Found(path=f"{number:04}.png", label="|".join(sorted(own)), labels=tuple(sorted(own)))
        for number, own in enumerate(sets)
    ]


def with_values(values: list[float]) -> list[Found]:
    return [
        Found(path=f"{number:04}.png", label=f"{value}", value=value)
        for number, value in enumerate(values)
    ]


def test_numbers_that_hardly_repeat_are_a_quantity_not_classes() -> None:
    labels = [f"{number * 0.137:.3f}" for number in range(40)]
    with pytest.raises(SearchError, match="40 different numbers on 40 images: a quantity") as seen:
        check_enough(found(labels), labels, where="m.csv")
    assert seen.value.status is Exit.DATA
    assert "data: {task: regression}" in str(seen.value)


def test_digits_are_classes() -> None:
    labels = [str(number % 10) for number in range(60)]
    check_enough(found(labels), labels, where="m.csv")


def test_labels_with_bars_are_several_classes_unless_the_task_says_so() -> None:
    labels = ["cat|dog", "cat", "dog", "cat|bird"] * 5
    with pytest.raises(SearchError, match=r"2 labels of m\.csv are several classes") as seen:
        check_enough(found(labels), labels, where="m.csv")
    assert "data: {task: multilabel}" in str(seen.value)


def test_labels_of_another_task_are_told_with_the_first_line_of_them(manifest: Written) -> None:
    labels = ["cat", "dog", "cat|dog", "bird|cat"]
    several = manifest("\n".join(f"{i}.png,{label}" for i, label in enumerate(labels)))
    with pytest.raises(SearchError, match=r"between them, e\.g\. 'cat\|dog' in line 4; data\.task"):
        check_enough(list_manifest(several, name="m.csv").images, (), where="m.csv")
    numbers = manifest("\n".join(f"{i}.png,{20 - i}.5" for i in range(9)))
    with pytest.raises(SearchError, match=r"not classes, e\.g\. '20\.5' in line 2"):
        check_enough(list_manifest(numbers, name="m.csv").images, (), where="m.csv")


def test_a_bar_in_a_name_alone_is_a_name() -> None:
    labels = ["north|south", "east"] * 5
    check_enough(found(labels), labels, where="m.csv")


Written = Callable[[str], Path]


@pytest.fixture
def manifest(tmp_path: Path) -> Written:
    def write(lines: str) -> Path:
        (tmp_path / "m.csv").write_text(f"path,label\n{lines}\n")
        return tmp_path / "m.csv"

    return write


def test_labels_are_separated_by_bars_and_an_empty_one_is_no_class(manifest: Written) -> None:
    file = manifest("a.png,dog | cat\nb.png,cat\nc.png,\nd.png,dog|dog")
    listing = list_manifest(file, name="m.csv", task="multilabel")
    assert [image.labels for image in listing.images] == [("cat", "dog"), ("cat",), (), ("dog",)]
    assert listing.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("task", "line", "fact", "fix"),
    [
        pytest.param("regression", "tall", "'tall' is no number", "12.5", id="word"),
        pytest.param("regression", '"1,5"', "'1,5' is no number", "1.5", id="decimal_comma"),
        pytest.param("regression", "nan", "'nan' is not finite", "a number", id="nan"),
        pytest.param("regression", "-inf", "'-inf' is not finite", "a number", id="inf"),
        pytest.param("regression", "1e999", "'1e999' is not finite", "a number", id="overflow"),
        pytest.param("regression", "", "label is empty", "the image's value", id="empty"),
        pytest.param("multilabel", "cat||dog", "nothing on one side", "cat|dog", id="two_bars"),
    ],
)
def test_a_label_that_the_task_cannot_use_is_refused_at_its_line(
    manifest: Written, task: Task, line: str, fact: str, fix: str
) -> None:
    with pytest.raises(SearchError) as seen:
        list_manifest(manifest(f"a.png,1\nb.png,{line}"), name="m.csv", task=task)
    (problem,) = seen.value.problems
    assert problem.place is not None
    assert problem.place.line == 3
    assert fact in problem.fact
    assert fix in problem.fix


def test_one_class_is_too_few_for_several() -> None:
    with pytest.raises(SearchError, match=r"the single class 'cat'.*two or more"):
        check_enough(in_classes([{"cat"}] * 6), ["cat"], where="m.csv", task="multilabel")


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        pytest.param([2.5] * 12, "to train on has the value 2.5; nothing", id="one_value"),
        pytest.param([1.0, 2.0], "2 images with a value, 10 are needed", id="too_few"),
    ],
)
def test_values_that_nothing_can_be_learnt_from_are_refused(values: list[float], fact: str) -> None:
    with pytest.raises(SearchError, match=fact):
        check_enough(with_values(values), (), where="m.csv", task="regression")


SETS = st.lists(st.sets(st.sampled_from("abcde"), max_size=3), min_size=30, max_size=120)


@settings(max_examples=40, deadline=None)
@given(sets=SETS, seed=st.integers(0, 3))
def test_every_class_has_its_share_of_every_part(sets: list[set[str]], seed: int) -> None:
    images = in_classes(sets)
    placed = assign_parts(images, SplitSpec(val=0.2, test=0.2, seed=seed))
    total = Counter(name for image in placed for name in image.strata)
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    for part, share in shares.items():
        own = [image for image in placed if image.part == part]
        # Each class after the rarest finds part of its images placed already.
        assert abs(len(own) - share * len(images)) <= 6
        here = Counter(name for image in own for name in image.strata)
        for name, count in total.items():
            assert abs(here[name] - share * count) <= 4
    assert placed == tuple(
        sorted(
            assign_parts(images[::-1], SplitSpec(val=0.2, test=0.2, seed=seed)),
            key=lambda image: image.path,
        )
    )


def test_images_of_a_group_stay_together_whatever_their_classes() -> None:
    images = [
        replace(image, group=f"g{number // 4}")
        for number, image in enumerate(in_classes([{"a"}, {"a", "b"}, set(), {"b"}] * 15))
    ]
    placed = assign_parts(images, SplitSpec())
    parts = {image.group: image.part for image in placed}
    assert all(image.part == parts[image.group] for image in placed)
    assert set(parts.values()) == {"train", "val", "test"}


def test_values_are_split_by_quantiles() -> None:
    placed = assign_parts(with_values([float(n**2) for n in range(100)]), SplitSpec())
    for part, count in {"train": 12, "val": 4, "test": 4}.items():
        own = sorted(image.value or 0.0 for image in placed if image.part == part)
        fifths = Counter(min(4, int(value**0.5) // 20) for value in own)
        assert fifths == dict.fromkeys(range(5), count)


@pytest.mark.parametrize(
    "images",
    [
        in_classes([{"a"}, {"a", "b"}, set(), {"b", "c"}] * 10),
        with_values([float(n) for n in range(40)]),
    ],
    ids=["classes", "values"],
)
def test_a_subset_has_the_size_asked_for_and_the_images_as_they_are(images: list[Found]) -> None:
    kept = take_subset(images, 16, seed=1)
    assert len(kept) == 16
    assert set(kept) <= set(images)


def prepared(tmp_path: Path, task: Task, labels: list[str], unit: str = "") -> ImageTable:
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for number, label in enumerate(labels):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{label}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    spec = DataSpec(manifest="m.csv", task=task, unit=unit)
    return prepare(
        spec, base=tmp_path, cache=tmp_path / "cache", progress=lambda *_: None, workers=1
    ).table


def test_a_table_of_values_comes_back_exactly_with_its_unit(tmp_path: Path) -> None:
    values = [f"{number / 7}" for number in range(12)]
    table = prepared(tmp_path, "regression", values, unit="kg")
    save_table(table, tmp_path / "t.json")
    assert load_table(tmp_path / "t.json") == table
    assert (table.task, table.unit, table.classes, table.outputs) == ("regression", "kg", (), 1)
    train = targets_of(table, table.part("train"))
    scale = scale_of(table)
    assert scale.mean == pytest.approx(train.mean())
    assert ((train - scale.mean) / scale.std).std() == pytest.approx(1.0)


def test_a_table_of_several_classes_comes_back_exactly(tmp_path: Path) -> None:
    table = prepared(tmp_path, "multilabel", ["cat", "cat|dog", "", "dog"] * 4)
    save_table(table, tmp_path / "t.json")
    assert load_table(tmp_path / "t.json") == table
    assert table.classes == ("cat", "dog")
    assert targets_of(table, table.rows).sum(axis=0).tolist() == [8.0, 8.0]


def test_the_fingerprint_is_of_the_labels_whichever_task_they_are_of(tmp_path: Path) -> None:
    table = prepared(tmp_path, "multilabel", ["cat", "cat|dog", "", "dog"] * 4)
    first, *others = table.rows
    other = replace(first, label=(0, 1) if first.label != (0, 1) else ())
    assert fingerprint([other, *others], table.classes) != table.fingerprint
