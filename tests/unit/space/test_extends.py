"""One space file laid over another: what merges, what is removed, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from search.problems import SearchError, fail
from search.space import Loaded, Override, load
from search.space.domains import Choice, Fixed, FloatRange
from search.space.extends import MAX_FILES, Extended
from search.training.config import SETTINGS
from tests.unit.space.conftest import SIZES, TAGS

BASE = """\
study: {name: base, seed: 7}
data: {path: photos, max_bad: 3, split: {val: 0.1, test: 0.3}}
epochs: {min: 2, max: 18}
space:
  backbone: [resnet50, vit_b_16]
  unfreeze_depth: {int: [0, 5]}
  lr: {float: [3e-4, 3e-2], log: true}
  backbone_lr_scale: {float: [0.1, 0.5], when: {unfreeze_depth: {min: 1}}}
  weight_decay:
    - {float: [1e-6, 1e-2], log: true, when: {backbone: [resnet50]}}
    - {float: [1e-5, 1e-1], log: true}
first: [default, {backbone: vit_b_16}]
budget: {trials: 32, minutes: 60}
"""


class Files:
    """Texts by name; a name is its own identity but for a leading ``./``."""

    def __init__(self, texts: Mapping[str, str | bytes]) -> None:
        self.texts = texts

    def __call__(self, name: str) -> Extended:
        text = self.texts.get(name.removeprefix("./"))
        if text is None:
            raise fail(f"{name}: no such file", fix="base.yaml")
        content = text.encode() if isinstance(text, str) else text
        return Extended(file=name, text=content, identity=name.removeprefix("./"))


def read(text: str, overrides: tuple[Override, ...] = (), **files: str | bytes) -> Loaded:
    named = {f"{name}.yaml": content for name, content in {"base": BASE, **files}.items()}
    return load(
        text,
        file="mine.yaml",
        settings=SETTINGS,
        sizes=SIZES,
        tags=TAGS,
        overrides=overrides,
        env={},
        extended=Files(named),
    )


def refused(text: str, **files: str | bytes) -> list[str]:
    """``file:line:column: fact | fix | underlined text`` of every problem."""
    with pytest.raises(SearchError) as caught:
        read(text, **files)
    found = []
    for problem in caught.value.problems:
        place = problem.place
        assert place is not None
        marked = place.text[place.column - 1 :][: place.length]
        at = f"{place.file}:{place.line}:{place.column}"
        found.append(f"{at}: {problem.fact} | {problem.fix} | {marked}")
    return found


def domain(loaded: Loaded, name: str) -> Any:
    (branch,) = loaded.spec.space[name].branches
    return branch.domain


def test_what_a_file_does_not_say_comes_from_the_one_it_extends() -> None:
    alone = load(BASE, file="base.yaml", settings=SETTINGS, sizes=SIZES, env={})
    spec = read("extends: base.yaml").spec
    assert spec.space == alone.spec.space
    assert (spec.seed, spec.data, spec.epochs) == (7, alone.spec.data, alone.spec.epochs)
    assert spec.first == alone.spec.first


def test_a_study_is_named_by_its_own_file() -> None:
    assert read("extends: base.yaml").spec.name == "mine"
    assert read("extends: base.yaml\nstudy: {name: other}").spec.name == "other"


def test_mappings_merge_by_key() -> None:
    spec = read("extends: base.yaml\nepochs: {max: 6}\ndata: {split: {val: 0.2}}").spec
    assert (spec.epochs.min, spec.epochs.max) == (2, 6)
    assert (spec.data.path, spec.data.max_bad) == ("photos", 3)
    assert (spec.data.split.val, spec.data.split.test) == (0.2, 0.3)


def test_an_entry_of_the_space_is_replaced_whole() -> None:
    loaded = read("extends: base.yaml\nspace: {lr: {float: [0.1, 0.2]}, weight_decay: 0.1}")
    assert domain(loaded, "lr") == FloatRange(low=0.1, high=0.2)  # not log any more
    assert domain(loaded, "weight_decay") == Fixed(value=0.1)
    assert "unfreeze_depth" in loaded.spec.space


def test_a_list_is_replaced_whole() -> None:
    assert len(read("extends: base.yaml\nfirst: [default]").spec.first) == 1


def test_null_removes() -> None:
    spec = read("extends: base.yaml\nspace: {lr: null}\nbudget: {minutes: ~}\nfirst: null").spec
    assert "lr" not in spec.space
    assert (spec.budget.trials, spec.budget.minutes) == (32, None)
    assert len(spec.first) == 1


def test_other_images_take_the_place_of_those_of_the_extended_file() -> None:
    data = read("extends: base.yaml\ndata: {manifest: list.csv}").spec.data
    assert (data.path, data.manifest, data.max_bad) == (None, "list.csv", 3)


def test_chains_are_followed_and_the_nearest_wins() -> None:
    loaded = read(
        "extends: middle.yaml\nspace: {dropout: 0.1}",
        middle="extends: base.yaml\nspace: {dropout: 0.3, lr: 0.01}",
    )
    assert loaded.extends == ("middle.yaml", "base.yaml")
    assert domain(loaded, "dropout") == Fixed(value=0.1)
    assert domain(loaded, "lr") == Fixed(value=0.01)
    assert {name: loaded.origins[name] for name in ("dropout", "lr", "backbone")} == {
        "dropout": "mine.yaml",
        "lr": "middle.yaml",
        "backbone": "base.yaml",
    }


def test_conditions_of_an_extended_file_that_cannot_hold_any_more_are_left_out() -> None:
    loaded = read("extends: base.yaml\nspace: {backbone: vit_b_16, unfreeze_depth: 0}")
    assert len(loaded.spec.space["weight_decay"].branches) == 1
    assert "backbone_lr_scale" not in loaded.spec.space
    assert loaded.warnings == ()


def test_a_condition_of_the_file_itself_that_cannot_hold_is_an_error() -> None:
    text = "extends: base.yaml\nspace: {dropout: {float: [0, 0.5], when: {backbone: alexnet}}}"
    assert any("backbone is never alexnet" in each for each in refused(text))


def test_a_first_point_that_the_space_excludes_now_is_not_tried() -> None:
    loaded = read("extends: base.yaml\nspace: {backbone: [resnet50, alexnet]}")
    assert len(loaded.spec.first) == 1
    assert [(each.level, each.fact) for each in loaded.warnings] == [
        ("note", "this point is outside the space; it is not tried")
    ]


def test_flags_lie_on_top() -> None:
    flag = Override(path="space.lr", text="[0.1, 0.2]", flag="--set space.lr=[0.1, 0.2]")
    loaded = read("extends: base.yaml\nspace: {lr: 0.5}", (flag,))
    assert domain(loaded, "lr") == Choice(choices=(0.1, 0.2))
    assert loaded.origins["lr"] == "--set"


def test_a_flag_can_extend() -> None:
    flag = Override(path="extends", text="base.yaml", flag="--set extends=base.yaml")
    assert read("space: {dropout: 0.1}", (flag,)).spec.epochs.max == 18


def test_a_problem_points_into_the_file_that_wrote_the_value() -> None:
    wrong = BASE.replace("max: 18", "max: many")
    assert refused("extends: base.yaml\nspace: {dropout: 7}", base=wrong) == [
        "mine.yaml:2:18: dropout: 7 is out of range | a number from 0 to 0.95 | 7",
        "base.yaml:3:23: epochs.max is the text 'many', not a whole number | "
        "a number from 1 to 100000 | many",
    ]


def test_min_above_max_of_two_files_points_to_min() -> None:
    (problem,) = refused("extends: base.yaml\nepochs: {max: 1}")
    assert problem.startswith("base.yaml:3:15: epochs: min (2) is greater than max (1)")


@pytest.mark.parametrize(
    ("text", "files", "expected"),
    [
        pytest.param(
            "extends: mine.yaml",
            {"mine": "extends: mine.yaml"},
            "mine.yaml:1:10: files extend each other: mine.yaml -> mine.yaml | "
            "remove this line | mine.yaml",
            id="itself",
        ),
        pytest.param(
            "extends: a.yaml",
            {"a": "extends: b.yaml", "b": "space: {}\nextends: ./a.yaml"},
            "b.yaml:2:10: files extend each other: a.yaml -> b.yaml -> a.yaml | "
            "remove this line | ./a.yaml",
            id="circle",
        ),
        pytest.param(
            "extends: nonesuch.yaml",
            {},
            "mine.yaml:1:10: nonesuch.yaml: no such file | base.yaml | nonesuch.yaml",
            id="not_there",
        ),
        pytest.param(
            "extends: s3://bucket/base.yaml",
            {},
            "mine.yaml:1:10: extends is a URL, not a path | fetch the file, and name its path | "
            "s3://bucket/base.yaml",
            id="url",
        ),
        pytest.param(
            "extends: [base.yaml]",
            {},
            "mine.yaml:1:10: extends is a list, not text | put it in quotes | [base.yaml]",
            id="list",
        ),
        pytest.param(
            "extends:",
            {},
            "mine.yaml:1:1: extends has no value | "
            "extends: preset/small-data, or a path to another space file | extends",
            id="no_value",
        ),
        pytest.param(
            "extends: a.yaml",
            {"a": "# nothing"},
            "mine.yaml:1:10: a.yaml is empty | space: {lr: 1e-3} in it | a.yaml",
            id="empty",
        ),
        pytest.param(
            "extends: a.yaml",
            {"a": "- 1"},
            "mine.yaml:1:10: a.yaml is a list, not a mapping | space: {lr: 1e-3} in it | a.yaml",
            id="no_mapping",
        ),
        pytest.param(
            "extends: a.yaml",
            {"a": "space: {lr: ["},
            "a.yaml:1:14: expected the node content, but found '<stream end>'",
            id="no_yaml",
        ),
        pytest.param(
            "extends: a.yaml",
            {"a": b"space: {lr: \xff}"},
            "a.yaml:1:13: byte 0xff is not UTF-8",
            id="not_utf8",
        ),
        pytest.param(
            "extends: a.yaml",
            {"a": "x" * 200_000},
            "a.yaml:1:1: the text has more than 100,000 characters",
            id="too_long",
        ),
        pytest.param(
            "extends: base.yaml\nspace: {droput: null}",
            {},
            "mine.yaml:2:17: null removes nothing: no extended file has 'droput' in its space | "
            "remove the line | null",
            id="null_of_nothing",
        ),
        pytest.param(
            "extends: base.yaml\nsampler: null",
            {},
            "mine.yaml:2:10: null removes nothing: no extended file has 'sampler' | "
            "remove the line | null",
            id="null_of_no_section",
        ),
        pytest.param(
            "extends: base.yaml\nbudget:",
            {},
            "mine.yaml:2:1: budget has no value | give it one, or remove it | budget",
            id="nothing_is_not_null",
        ),
        pytest.param(
            "extends: base.yaml",
            {"base": BASE + "storage: postgresql://me:hunter2@host/db"},
            "base.yaml:14:10: storage holds a password in plain text | ${env:SEARCH_STORAGE} | "
            "postgresql://me:*******@host/db",
            id="password",
        ),
    ],
)
def test_what_cannot_be_extended_is_refused_at_its_place(
    text: str, files: dict[str, Any], expected: str
) -> None:
    assert any(each.startswith(expected) for each in refused(text, **files)), refused(text, **files)


def test_a_chain_has_an_end() -> None:
    files = {f"f{n}": f"extends: f{n + 1}.yaml" for n in range(MAX_FILES + 3)}
    (problem, *_) = refused("extends: f0.yaml", **files)
    assert problem.startswith(f"f{MAX_FILES - 2}.yaml:1:10: a chain of more than {MAX_FILES} files")


def test_a_text_that_stands_alone_extends_nothing(problems: Callable[..., list[str]]) -> None:
    assert problems("extends: preset/small-data\ndata: {path: x}")[0].startswith(
        "1:10: extends: 'preset/small-data' cannot be read here"
    )
