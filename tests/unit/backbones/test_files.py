"""Reading weights that anybody may have written."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from search.backbones.files import read_tensors
from search.problems import Exit, SearchError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.victim,))


def refusal(path: Path) -> str:
    with pytest.raises(SearchError) as raised:
        read_tensors(path)
    assert raised.value.status is Exit.USAGE
    (problem,) = raised.value.problems
    assert problem.fix
    assert str(path) in problem.fact
    return problem.fact


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "MODEL.PTH"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TENSORS, id="dict"),
        pytest.param(OrderedDict(TENSORS), id="ordered"),
        pytest.param({"state_dict": TENSORS}, id="wrapped"),
        pytest.param({k: torch.nn.Parameter(v) for k, v in TENSORS.items()}, id="parameters"),
    ],
)
def test_tensors_alone_are_read(tmp_path: Path, name: str, content: Any) -> None:
    torch.save(content, tmp_path / name)
    tensors = read_tensors(tmp_path / name)
    assert not any(tensor.requires_grad for tensor in tensors.values())
    torch.testing.assert_close(tensors, TENSORS, rtol=0, atol=0)


def test_a_file_without_a_tensor_is_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / "model.safetensors")
    assert "there is no tensor in it" in refusal(tmp_path / "model.safetensors")


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors")
    torch.testing.assert_close(read_tensors(tmp_path / "model.safetensors"), TENSORS)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors", "w.npy", "w.pkl", "w.bin", "w"])
@pytest.mark.parametrize("writer", ["pickle", "torch", "legacy", "inside_a_dict"])
def test_a_pickle_posing_as_weights_is_refused_and_nothing_runs(
    tmp_path: Path, name: str, writer: str
) -> None:
    path, victim = tmp_path / name, tmp_path / "victim"
    payload: Any = Payload(victim)
    if writer == "pickle":
        path.write_bytes(pickle.dumps(payload))
    elif writer == "torch":
        torch.save(payload, path)
    elif writer == "legacy":
        torch.save(payload, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(TENSORS | {"extra": payload}, path)
    refusal(path)
    assert not victim.exists()
    if writer == "pickle":  # the payload does work
        pickle.loads(path.read_bytes())
        assert victim.exists()


def test_a_numpy_array_of_objects_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path, victim = tmp_path / "w.npy", tmp_path / "victim"
    np.save(path, np.array([Payload(victim)], dtype=object), allow_pickle=True)
    assert ".npy is no format of weights" in refusal(path)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        pytest.param(TENSORS | {"epoch": 3}, "epoch is a int", id="number_beside"),
        pytest.param(
            {"state_dict": TENSORS, "optimizer": {}}, "state_dict is a dict", id="checkpoint"
        ),
        pytest.param(torch.zeros(3), "it holds a Tensor", id="bare_tensor"),
        pytest.param([torch.zeros(3)], "it holds a list", id="list"),
        pytest.param({}, "it holds a dict", id="empty"),
        pytest.param({1: torch.zeros(3)}, "a key of type int", id="number_as_name"),
        pytest.param({"a": torch.eye(2).to_sparse()}, "a is not a plain tensor", id="sparse"),
        pytest.param({"a": torch.zeros(2, dtype=torch.cfloat)}, "not a plain", id="complex"),
    ],
)
def test_what_is_no_tensor_is_named(tmp_path: Path, content: Any, fact: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    assert fact in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 7, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    if name == "w.pth":
        torch.save(TENSORS, path)
    else:
        save_file(TENSORS, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 or keep == 0 else keep * len(whole))])
    refusal(path)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_text_and_folders_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<html>not found</html>")
    refusal(tmp_path / name)
    folder = tmp_path / f"folder_{name}"
    folder.mkdir()
    refusal(folder)
