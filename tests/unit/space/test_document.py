"""Documents: what the study's storage keeps of a spec."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from search.space import Loaded
from search.space.differences import diff
from search.space.document import from_document, identity, to_document

TEXT = """\
study: {name: flowers, seed: 3}
data: {path: photos}
epochs: {min: 2, max: 18}
space:
  batch_size: [16, 32]
  lr: {float: [3e-4, 3e-2], log: true}
  weight_decay:
    - {float: [1e-6, 1e-2], log: true, when: {batch_size: 16}}
    - {float: [1e-5, 1e-1], log: true}
budget: {trials: 10}
weights:
  files: {resnet50: {file: r.pth, mean: [0, 0, 0], std: [1, 1, 1]}, alexnet: a.pth}
  tags: {vit_b_16: IMAGENET1K_SWAG_E2E_V1}
"""


def test_a_document_is_written_like_a_space_file(read: Callable[..., Loaded]) -> None:
    document = to_document(read(TEXT).spec)
    assert document["space"] == {
        "batch_size": [{"choice": [16, 32]}],
        "lr": [{"float": [3e-4, 3e-2], "log": True}],
        "weight_decay": [
            {"float": [1e-6, 1e-2], "log": True, "when": {"batch_size": [16]}},
            {"float": [1e-5, 1e-1], "log": True},
        ],
    }
    assert document["epochs"] == {"min": 2, "max": 18}


def test_a_document_comes_back_from_json_as_the_same_spec(read: Callable[..., Loaded]) -> None:
    spec = read(TEXT).spec
    assert from_document(json.loads(json.dumps(to_document(spec)))) == spec


def test_a_document_holds_no_password(read: Callable[..., Loaded]) -> None:
    text = f"{TEXT}storage: '${{env:DB}}'\n"
    spec = read(text, env={"DB": "postgresql://me:s3cret@host/db"}).spec
    document = to_document(spec)
    assert "s3cret" in spec.storage
    assert "s3cret" not in json.dumps(document)
    assert from_document(document).storage == "postgresql://me:***@host/db"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"form": 0},
        {"form": 1},
        {"form": 1, "data": None, "weights": {}},
        {"form": 1, "data": {"nonsense": 1, "split": {}}, "weights": {}},
    ],
)
def test_what_is_no_document_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="study document"):
        from_document(document)


@pytest.mark.parametrize(
    "change",
    [
        "study: {name: other, seed: 3}",
        "budget: {trials: 99}",
        "resources: {concurrency: 2}",
        "checkpoints: {keep: 9}",
        "storage: sqlite:///other.db",
    ],
)
def test_what_may_change_is_no_part_of_the_identity(
    change: str, read: Callable[..., Loaded]
) -> None:
    key = change.partition(":")[0]
    kept = "".join(line for line in TEXT.splitlines(True) if not line.startswith(f"{key}:"))
    one, two = to_document(read(TEXT).spec), to_document(read(f"{kept}{change}\n").spec)
    assert one != two
    assert diff(identity(one), identity(two)) == []


def test_a_difference_is_named_with_both_values(read: Callable[..., Loaded]) -> None:
    old = to_document(read(TEXT).spec)
    text = TEXT.replace("max: 18", "max: 27").replace(
        "batch_size: [16, 32]", "batch_size: [64, 16]"
    )
    text = text.replace("  lr: {float: [3e-4, 3e-2], log: true}\n", "  dropout: 0.1\n")
    lines = diff(identity(old), identity(to_document(read(text).spec)), {"dropout": 0.2})
    assert lines == [
        "epochs.max: 18 -> 27",
        "space.batch_size: [16, 32] -> [64, 16]",
        "space.lr: {float: [0.0003, 0.03], log: true} -> not there",
        "space.dropout: 0.2 (default) -> 0.1",
    ]


def test_one_change_of_the_space_is_one_line_and_points_are_told_where_they_alone_changed(
    read: Callable[..., Loaded],
) -> None:
    def document(space: str, first: str) -> dict[str, object]:
        text = f"data: {{path: photos}}\nspace: {{{space}}}\nfirst: {first}\n"
        return identity(to_document(read(text).spec))

    one = document("lr: {float: [1e-3, 1e-1], log: true}", "[default, {lr: 0.01}]")
    assert diff(one, document("lr: {float: [1e-3, 1e-1], log: true}", "[default, {lr: 0.02}]")) == [
        "first: {lr: 0.01} -> {lr: 0.02}"
    ]
    assert diff(one, document("lr: {float: [1e-3, 1e-1], log: true}", "[default]")) == [
        "first: 2 points -> 1"
    ]
    more = document("lr: {float: [1e-3, 1e-1], log: true}, dropout: 0.3", "[default, {lr: 0.02}]")
    assert diff(one, more, {"dropout": 0.2}) == [
        "space.dropout: 0.2 (default) -> 0.3",
        "first: {lr: 0.01} -> {lr: 0.02}",
    ]


def test_the_order_of_keys_is_no_difference(read: Callable[..., Loaded]) -> None:
    lines = TEXT.splitlines(True)
    swapped = "".join([*lines[:4], lines[5], lines[4], *lines[6:]])
    one, two = to_document(read(TEXT).spec), to_document(read(swapped).spec)
    assert diff(one, two) == []


def test_which_weights_are_named_is_part_of_the_identity(read: Callable[..., Loaded]) -> None:
    old = identity(to_document(read(TEXT).spec))
    other = TEXT.replace("SWAG_E2E_V1", "SWAG_LINEAR_V1")
    assert diff(old, identity(to_document(read(other).spec))) == [
        "weights.tags.vit_b_16: IMAGENET1K_SWAG_E2E_V1 -> IMAGENET1K_SWAG_LINEAR_V1"
    ]
    without = "".join(line for line in TEXT.splitlines(True) if "tags" not in line)
    document = to_document(read(without).spec)
    assert "tags" not in document["weights"]  # as before there were any
    assert from_document(document).weights.tags == ()
