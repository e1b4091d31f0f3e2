"""A target that is a quantity is recognised as one."""

from __future__ import annotations

import pytest

from search.data.listing import Found, check_classes
from search.problems import Exit, SearchError


def found(labels: list[str]) -> list[Found]:
    return [
        Found(path=f"{number}.png", label=label, part=None, group="")
        for number, label in enumerate(labels)
    ]


def test_numbers_that_hardly_repeat_are_a_quantity_not_classes() -> None:
    labels = [f"{number * 0.137:.3f}" for number in range(40)]
    with pytest.raises(SearchError, match="40 different numbers on 40 images: a quantity") as seen:
        check_classes(found(labels), labels, where="m.csv")
    assert seen.value.status is Exit.DATA


def test_digits_are_classes() -> None:
    labels = [str(number % 10) for number in range(60)]
    check_classes(found(labels), labels, where="m.csv")
