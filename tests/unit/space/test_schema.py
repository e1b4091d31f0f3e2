"""The JSON Schema that editors use, against the reader that decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from search.backbones.catalogue import CATALOGUE
from search.space import Loaded
from search.space.nodes import Entries, Items, Node, Scalar, Source
from search.space.reader import read as read_nodes
from search.space.report import Report
from search.space.schema import schema
from search.training.config import SETTINGS

ROOT = Path(__file__).parents[3]


def plain(node: Node | None) -> Any:
    """A text's tree as JSON has it."""
    match node:
        case Scalar(value=value):
            return value
        case Items(items=items):
            return [plain(item) for item in items]
        case Entries(entries=entries):
            return {entry.name: plain(entry.value) for entry in entries}
    return None


@pytest.fixture(scope="module")
def errors() -> Callable[[str], list[str]]:
    validator = Draft202012Validator(schema(SETTINGS, list(CATALOGUE)))

    def run(text: str) -> list[str]:
        tree = plain(read_nodes(Source("f", text), Report()))
        return [error.message for error in validator.iter_errors(tree)]

    return run


@pytest.mark.slow
def test_it_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(schema(SETTINGS, list(CATALOGUE)))


def test_the_committed_schema_is_the_generated_one() -> None:
    text = (ROOT / "schema" / "space.schema.json").read_text()
    fresh = json.dumps(schema(SETTINGS, list(CATALOGUE)), indent=2, ensure_ascii=False) + "\n"
    assert text == fresh, "schema/space.schema.json is behind the code; run: make docs"


def test_the_shipped_spaces_are_valid(errors: Callable[[str], list[str]]) -> None:
    files = sorted((ROOT / "spaces").glob("*.yaml"))
    assert len(files) == 2
    assert [errors(file.read_text()) for file in files] == [[], []]


RIGHT = {
    "everything": """
study: {name: 2024, seed: 1}
data: {path: null, manifest: x.csv, split: {val: 0.1}, max_images: null, max_bad: 1}
objective: auroc
epochs: {min: 1, max: 3}
space:
  backbone: resnet50
  image_size: {value: 0}
  unfreeze_depth:
    - {int: [0, 4], step: 2, when: {backbone: [resnet50], lr: {min: 0.1}}}
    - {int: [1, 5]}
  lr: {float: [1, 2], log: true, steps: 3}
  dropout: [0, 0.5]
  augmentation: {choice: [none, heavy]}
first: [default, {lr: 1}, {}]
weights: {files: {alexnet: a.pth, resnet18: {file: x, mean: null, std: null}}, tags: {vgg16: V}}
sampler: {name: grid}
scheduler: {name: none}
budget: {trials: null, minutes: 0.5}
resources: {gpus_per_trial: 0.5}
storage: ${env:DB}
checkpoints: {dir: x, keep: 1}
""",
    "extended": """
extends: preset/small-data
data: {sample: null, path: x, split: null}
epochs: {min: null}
space: {lr: null, dropout: {float: [0, 0.5], when: {backbone: ["*vit*", resnet18]}}}
first: null
resources: null
budget: {minutes: null}
""",
    "little": "data: {sample: solar-cells}\nspace: {lr: {float: [1, 2]}}\nresources: auto",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_what_load_accepts_is_valid(
    text: str, errors: Callable[[str], list[str]], read: Callable[..., Loaded]
) -> None:
    assert errors(text) == []


WRONG = {
    "unknown_key": "tint: blue",
    "extends_a_list": "extends: [a.yaml]",
    "unknown_setting": "space: {tint: 1}",
    "unknown_backbone": "space: {backbone: [resnet5O]}",
    "unknown_choice": "space: {augmentation: strong}",
    "text_for_a_number": "space: {lr: fast}",
    "out_of_range": "space: {dropout: 2}",
    "range_out_of_range": "space: {unfreeze_depth: {int: [0, 9]}}",
    "empty_choice": "space: {lr: []}",
    "twice": "space: {lr: [1, 1]}",
    "one_bound": "space: {lr: {float: [1]}}",
    "two_forms": "space: {lr: {float: [1, 2], choice: [1]}}",
    "range_of_another_kind": "space: {lr: {int: [1, 2]}}",
    "unknown_modifier": "space: {lr: {float: [1, 2], lgo: true}}",
    "unknown_condition": "space: {lr: {float: [1, 2], when: {tint: 1}}}",
    "empty_condition": "space: {lr: {float: [1, 2], when: {}}}",
    "min_of_a_choice": "space: {lr: {float: [1, 2], when: {augmentation: {min: 1}}}}",
    "metric": "objective: f1",
    "sampler": "sampler: {name: cma}",
    "epochs": "epochs: {min: 0}",
    "budget": "budget: {}",
    "resources": "resources: all",
    "share": "data: {path: x, split: {val: 1}}",
    "first": "first: [defualt]",
    "first_setting": "first: [{tint: 1}]",
    "name": "study: {name: a b}",
    "mean": "weights: {files: {resnet50: {file: x, mean: [1, 1], std: [1, 1]}}}",
    "mean_alone": "weights: {files: {resnet50: {file: x, mean: [1, 1, 1]}}}",
    "weights_of_nothing": "weights: {files: {resnet5O: x}}",
    "tag_of_nothing": "weights: {tags: {resnet5O: IMAGENET1K_V1}}",
    "tag_is_a_list": "weights: {tags: {resnet50: [IMAGENET1K_V1]}}",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_the_schema_refuses_load_refuses_too(
    text: str, errors: Callable[[str], list[str]], problems: Callable[..., list[str]]
) -> None:
    more = "" if text.startswith("data") else "\ndata: {path: x}"
    more += "" if text.startswith("space") else "\nspace: {lr: [1, 2]}"
    assert len(errors(text + more)) == 1
    assert problems(text + more)


def test_every_setting_and_section_says_what_it_is() -> None:
    built = schema(SETTINGS, list(CATALOGUE))
    assert all("description" in section for section in built["properties"].values())
    for name, property in built["properties"]["space"]["properties"].items():
        assert SETTINGS[name].meaning in property["description"]
