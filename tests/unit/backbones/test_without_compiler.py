"""Models are built and trained without torch's compiler, which is there as soon as it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # each starts a Python that imports torch

BEGIN = """
import json, sys
from search.backbones.without_compiler import put_off_compiler
put_off_compiler()
import torch, torchvision
def loaded():
    return sorted({"torch._dynamo.config", "torch._inductor", "triton", "sympy"} & set(sys.modules))
"""


def _said(program: str) -> object:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("backbone", ["mobilenet_v3_small", "resnet18", "regnet_y_400mf"])
@pytest.mark.parametrize("optimiser", ["SGD", "AdamW"])
def test_a_backbone_is_built_and_takes_a_step_without_it(backbone: str, optimiser: str) -> None:
    loaded = _said(f"""
from search.backbones.construct import construct
from search.backbones.stages import build
from search.training.reset import reset
reset(threads=1)
state = construct("{backbone}", classes=1000, image_size=32).state_dict()
staged = build("{backbone}", classes=3, image_size=32, state=state, dropout=0.0, seed=0, trained=5)
step = torch.optim.{optimiser}(staged.model.parameters(), lr=0.1)
staged.model(torch.zeros(2, 3, 32, 32)).sum().backward()
step.step()
print(json.dumps(loaded()))
""")
    assert loaded == []


def test_timm_is_imported_without_it() -> None:
    assert _said("import timm; print(json.dumps(loaded()))") == []


@pytest.mark.parametrize(
    "asked",
    [
        "import torch._dynamo.config as first; import torch._dynamo.config as found",
        "from torch._dynamo import config as found; first = torch._dynamo.config",
        "first = torch._dynamo.config; found = sys.modules['torch._dynamo.config']",
        "from torch._dynamo.utils import counters as found; first = torch._dynamo.utils.counters",
    ],
)
def test_whoever_asks_for_the_compiler_gets_it_once(asked: str) -> None:
    same, known = _said(f"""
{asked}
print(json.dumps([first is found, "torch._dynamo.config" in loaded()]))
""")  # type: ignore[misc]
    assert same
    assert known


def test_a_function_can_still_be_compiled() -> None:
    assert _said("""
double = torch.compile(lambda x: 2 * x, backend="eager")
supported = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
print(json.dumps([double(torch.ones(2)).tolist(), supported]))
""") == [[2.0, 2.0], True]


def test_a_compiler_that_is_there_already_stays() -> None:
    program = """
import sys, torch._dynamo
before = torch._dynamo
from search.backbones.without_compiler import put_off_compiler
put_off_compiler()
sys.exit(torch._dynamo is not before or sys.modules["torch._dynamo"] is not before)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
