"""Every mistake that a space file can hold: where, what, and what to type instead.

The texts and what is printed for each are in ``tests/golden/space/mistakes.txt``:
``=== id``, the file, ``---``, the problems.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from search.problems import SearchError
from search.space import Loaded
from search.training.config import SETTINGS

GOLDEN = Path(__file__).parents[2] / "golden" / "space"


def cases() -> dict[str, tuple[str, str]]:
    """Text and printed problems by id."""
    found = {}
    for block in (GOLDEN / "mistakes.txt").read_text().split("=== ")[1:]:
        name, _, rest = block.partition("\n")
        text, _, printed = rest.partition("\n---\n")
        found[name] = (text, printed.strip("\n"))
    return found


CASES = cases()


@pytest.mark.parametrize(("text", "printed"), CASES.values(), ids=CASES.keys())
def test_a_mistake_is_located_named_and_given_a_fix(
    text: str, printed: str, read: Callable[..., Loaded]
) -> None:
    with pytest.raises(SearchError) as caught:
        read(text)
    assert str(caught.value) == printed
    assert caught.value.status == 2
    assert all(problem.fix and problem.place for problem in caught.value.problems)


def test_the_table_of_mistakes_is_whole() -> None:
    assert len(CASES) == 162


def test_a_file_full_of_mistakes_prints_as_the_golden_text(read: Callable[..., Loaded]) -> None:
    with pytest.raises(SearchError) as caught:
        read((GOLDEN / "broken.yaml").read_bytes(), file="broken.yaml")
    assert str(caught.value) + "\n" == (GOLDEN / "broken.txt").read_text()


def space(lines: str) -> str:
    """A file with these lines under ``space:``."""
    return "data: {path: x}\nspace:\n" + "".join(f"  {line}\n" for line in lines.splitlines())


def test_all_problems_of_a_file_come_in_one_go_in_its_order(
    problems: Callable[..., list[str]],
) -> None:
    text = "\n".join(
        [
            "study: {name: a b}",
            "data: {path: x, sampl: y}",
            "objective: acuracy",
            "space:",
            "  lr: {float: [1, 0.1]}",
            "  dropout: {choice: [0, 0.1], when: {lr: {min: 9}}}",
            "  backbone: [vit_b_16, resnet]",
            "  image_size: 100",
            "  batch_size: 8",
            "  views: {choice: [1, 2], when: {batch_size: 16}}",
            "first: [{dropout: 2}, {batch_size: 16}]",
            "sampler: {name: gird}",
            "budget: {}",
            "storage: ${env:NOPE}",
            "more: 1",
        ]
    )
    lines = [int(problem.partition(":")[0]) for problem in problems(text)]
    assert lines == [1, 2, 3, 5, 7, 8, 10, 11, 11, 12, 13, 14, 15]


def test_a_broken_key_does_not_hide_what_is_wrong_with_the_others(
    problems: Callable[..., list[str]],
) -> None:
    text = space("lr: fast\nbackbone: vit_b_16\nimage_size: 100")
    assert [problem.partition(":")[0] for problem in problems(text)] == ["3", "5"]


def test_a_broken_key_is_not_held_against_those_that_depend_on_it(
    problems: Callable[..., list[str]],
) -> None:
    text = space("views: [1, two]\nlr: {choice: [1, 2], when: {views: 1}}")
    assert len(problems(text)) == 1


@pytest.mark.parametrize(
    ("lines", "fact"),
    [
        pytest.param(f"lr: {list(range(1, 999))}", "lr lists 998 values", id="values"),
        pytest.param(f"lr: [{'{value: 1}, ' * 99}]", "lr has 99 domains", id="domains"),
        pytest.param(
            f"views: [1, 2]\nlr: {{choice: [1], when: {{views: {list(range(999))}}}}}",
            "when views lists 999 values",
            id="values_of_a_condition",
        ),
    ],
)
def test_more_than_a_person_would_write_is_refused(
    lines: str, fact: str, problems: Callable[..., list[str]]
) -> None:
    (problem,) = problems(space(lines))
    assert fact in problem


def test_too_many_points_to_try_first_are_refused(problems: Callable[..., list[str]]) -> None:
    (problem,) = problems(f"{space('lr: [1, 2]')}first: [{'default, ' * 999}]")
    assert "first lists 999 points" in problem


def test_a_thicket_of_conditions_is_checked_within_a_second(
    problems: Callable[..., list[str]],
) -> None:
    draw = Random(0)
    lines: list[str] = []
    names: list[str] = []
    for setting in SETTINGS.values():
        if setting.kind not in ("int", "float"):
            continue
        bounds = [0, 5] if setting.name == "unfreeze_depth" else [1, 50]
        bounds = [0.001, 0.5] if setting.kind == "float" else bounds
        bounds = [32, 512] if setting.name == "image_size" else bounds
        branches = []
        for _ in range(16 if names else 1):
            when = {name: {"min": draw.uniform(0, 0.3)} for name in names}
            branches.append({setting.kind: bounds, **({"when": when} if when else {})})
        lines.append(f"{setting.name}: {json.dumps(branches)}")
        names.append(setting.name)
    start = time.process_time()
    problems(space("\n".join(lines)))
    assert time.process_time() - start < 1
