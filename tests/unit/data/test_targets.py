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
from search.data.images import PARTS, ImageTable
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


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_blanks_around_a_class_and_its_unicode_form_make_no_other_class(
    manifest: Written, task: Task
) -> None:
    lines = 'a.png,cat \nb.png," cat"\nc.png,cat\nd.png,\u00e9l\u00e9 \ne.png,e\u0301le\u0301'
    listing = list_manifest(manifest(lines), name="m.csv", task=task)
    assert [image.label for image in listing.images] == ["cat"] * 3 + ["\u00e9l\u00e9"] * 2
    assert listing.classes == ("cat", "\u00e9l\u00e9")


def test_blanks_around_a_group_and_its_unicode_form_make_no_other_group(tmp_path: Path) -> None:
    text = 'path,label,group\na.png,1,\u00e9\nb.png,2,\u00e9 \nc.png,3," e\u0301"\nd.png,4, \n'
    (tmp_path / "m.csv").write_text(text)
    listing = list_manifest(tmp_path / "m.csv", name="m.csv", task="regression")
    assert [image.group for image in listing.images] == ["\u00e9"] * 3 + [""]


@pytest.mark.parametrize(
    ("task", "line", "fact", "fix"),
    [
        pytest.param("regression", "tall", "'tall' is no number", "12.5", id="word"),
        pytest.param("regression", '"1,5"', "'1,5' is no number", "1.5", id="decimal_comma"),
        pytest.param("regression", "nan", "'nan' is not finite", "a number", id="nan"),
        pytest.param("regression", "-inf", "'-inf' is not finite", "a number", id="inf"),
        pytest.param("regression", "1e999", "'1e999' is not finite", "a number", id="overflow"),
        pytest.param("regression", "1_000", "'1_000' is no plain number", "1000", id="underscore"),
        pytest.param("regression", "\uff11\uff12", "is no plain number", "12", id="full_width"),
        pytest.param("regression", "\u0663.5", "is no plain number", "3.5", id="arabic"),
        pytest.param("regression", "-5e303", "'-5e303' is too large", "1e+100", id="square"),
        pytest.param("regression", "", "label is empty", "the image's value", id="empty"),
        pytest.param("multiclass", '" "', "label is empty", "the image's class", id="blank"),
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


def test_numbers_are_read_in_every_plain_spelling(manifest: Written) -> None:
    texts = ["7", "+8", "-.5", "1.", "1e3", "2.5E-1", " 7 "]
    lines = "\n".join(f"{n}.png,{text}" for n, text in enumerate(texts))
    listing = list_manifest(manifest(lines), name="m.csv", task="regression")
    assert [image.value for image in listing.images] == [7.0, 8.0, -0.5, 1.0, 1000.0, 0.25, 7.0]


def test_one_class_is_too_few_for_several() -> None:
    with pytest.raises(SearchError, match=r"the single class 'cat'.*two or more"):
        check_enough(in_classes([{"cat"}] * 6), ["cat"], where="m.csv", task="multilabel")


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        pytest.param([2.5] * 12, "to train on has the value 2.5; nothing", id="one_value"),
        pytest.param([n * 1e-300 for n in range(12)], r"differ by 1.1e-299; squared", id="close"),
        pytest.param([1.0, 2.0], "2 images with a value, 10 are needed", id="too_few"),
    ],
)
def test_values_that_nothing_can_be_learnt_from_are_refused(values: list[float], fact: str) -> None:
    with pytest.raises(SearchError, match=fact):
        check_enough(with_values(values), (), where="m.csv", task="regression")


SETS = st.lists(st.sets(st.sampled_from("abcde"), max_size=3), min_size=30, max_size=120)


@pytest.mark.slow
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


def sizes(images: tuple[Found, ...]) -> dict[str | None, int]:
    counts = Counter(image.part for image in images)
    return {part: counts[part] for part in PARTS}


@pytest.mark.parametrize(
    ("count", "share", "train", "val", "test"),
    [
        pytest.param(10, 0.2, 6, 2, 2, id="fewest"),
        pytest.param(11, 0.2, 7, 2, 2, id="eleven"),
        pytest.param(60, 0.02, 58, 1, 1, id="small_shares"),
        pytest.param(10, 0.02, 8, 1, 1, id="one_image_at_least"),
        pytest.param(10, 0.49, 1, 4, 5, id="train_keeps_one"),  # round(4.9) is 5, and 5
    ],
)
def test_few_values_are_split_as_asked(
    count: int, share: float, train: int, val: int, test: int
) -> None:
    placed = assign_parts(
        with_values([float(n) for n in range(count)]), SplitSpec(val=share, test=share)
    )
    assert sizes(placed) == {"train": train, "val": val, "test": test}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.0, 1.5, 2.0, 3.0, 7.0, 9.0]), min_size=10, max_size=90),
    val=st.floats(0.01, 0.45),
    test=st.floats(0.01, 0.45),
    seed=st.integers(0, 3),
)
def test_parts_of_values_have_their_shares_within_one_image(
    values: list[float], val: float, test: float, seed: int
) -> None:
    placed = assign_parts(with_values(values), SplitSpec(val=val, test=test, seed=seed))
    found = sizes(placed)
    for part, share in (("val", val), ("test", test)):
        assert abs(found[part] - max(1.0, share * len(values))) <= 1
        assert found[part] >= 1


def test_three_groups_of_values_are_one_for_each_part() -> None:
    images = [
        replace(image, group=f"g{number % 3}")
        for number, image in enumerate(with_values([float(n) for n in range(25)]))
    ]
    assert all(sizes(assign_parts(images, SplitSpec())).values())


def test_a_few_values_of_both_ends_are_tested_and_validated() -> None:
    placed = assign_parts(with_values([float(n) for n in range(12)]), SplitSpec())
    for part in ("val", "test"):
        low, high = sorted(image.value or 0.0 for image in placed if image.part == part)
        assert (low < 6, high >= 6) == (True, True)


@pytest.mark.parametrize("count", [10, 12, 14])
def test_a_small_subset_of_values_has_the_size_asked_for(count: int) -> None:
    assert len(take_subset(with_values([float(n) for n in range(60)]), count, seed=0)) == count


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


def prepared(
    tmp_path: Path, task: Task, labels: list[str], unit: str = "", max_images: int | None = None
) -> ImageTable:
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for number, label in enumerate(labels):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{label}")
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    spec = DataSpec(manifest="m.csv", task=task, unit=unit, max_images=max_images)
    return prepare(
        spec, base=tmp_path, cache=tmp_path / "cache", progress=lambda *_: None, workers=1
    ).table


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_table_of_several_classes_comes_back_exactly(tmp_path: Path) -> None:
    table = prepared(tmp_path, "multilabel", ["cat", "cat|dog", "", "dog"] * 4)
    save_table(table, tmp_path / "t.json")
    assert load_table(tmp_path / "t.json") == table
    assert table.classes == ("cat", "dog")
    assert targets_of(table, table.rows).sum(axis=0).tolist() == [8.0, 8.0]


@pytest.mark.slow
def test_the_fingerprint_is_of_the_labels_whichever_task_they_are_of(tmp_path: Path) -> None:
    table = prepared(tmp_path, "multilabel", ["cat", "cat|dog", "", "dog"] * 4)
    first, *others = table.rows
    other = replace(first, label=(0, 1) if first.label != (0, 1) else ())
    assert fingerprint([other, *others], table.classes) != table.fingerprint


@pytest.mark.slow
def test_ten_values_are_enough(tmp_path: Path) -> None:
    table = prepared(tmp_path, "regression", [f"{number}" for number in range(10)])
    assert table.counts() == {"train": 6, "val": 2, "test": 2}


def test_fewer_images_of_values_than_are_needed_are_refused_as_asked_for(tmp_path: Path) -> None:
    values = [f"{number}" for number in range(20)]
    with pytest.raises(SearchError, match=r"max_images is too few: 10 images.*, 9 are asked for"):
        prepared(tmp_path, "regression", values, max_images=9)


@pytest.mark.slow
def test_values_of_which_train_has_one_alone_are_refused(tmp_path: Path) -> None:
    # Equal values share a bin, in which path and seed decide.
    equal = [replace(image, path=f"{n}.png") for n, image in enumerate(with_values([5.0] * 20))]
    tested = {image.path for image in assign_parts(equal, SplitSpec()) if image.part == "test"}
    values = ["6" if image.path in tested else "5" for image in equal]
    with pytest.raises(SearchError, match="to train on has the value 5; nothing"):
        prepared(tmp_path, "regression", values)


@pytest.mark.slow
def test_two_groups_cannot_fill_three_parts_and_the_groups_are_counted(tmp_path: Path) -> None:
    prepared(tmp_path, "regression", [f"{number}" for number in range(12)])
    lines = ["path,label,group", *(f"{n}.png,{n},g{n % 2}" for n in range(12))]
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    spec = DataSpec(manifest="m.csv", task="regression")
    with pytest.raises(SearchError, match=r"m.csv has 2 groups, and images of one group stay"):
        prepare(spec, base=tmp_path, cache=tmp_path / "cache", progress=lambda *_: None, workers=1)
