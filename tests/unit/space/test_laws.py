"""Laws of spaces, on spaces and texts that nobody thought of."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.backbones.catalogue import sizes
from search.problems import SearchError
from search.space import StudySpec, load
from search.space.differences import diff
from search.space.document import from_document, to_document
from search.space.domains import (
    Branch,
    Choice,
    Condition,
    Domain,
    Fixed,
    FloatRange,
    IntRange,
    Param,
    Space,
    choose,
)
from search.space.narrow import narrow
from search.space.points import check_point, default_point, grid, values
from search.space.reach import dead_branches
from search.space.settings import Value
from search.space.spec import Budget, DataSpec, Epochs
from search.training.config import SETTINGS

BACKBONES = ("resnet50", "vit_b_16", "convnext_tiny", "alexnet")
LAW = settings(max_examples=50, deadline=None)

NAMES = ("backbone", "unfreeze_depth", "batch_size", "augmentation", "lr", "dropout")
POOLS: dict[str, tuple[Value, ...]] = {
    "backbone": BACKBONES,
    "unfreeze_depth": (0, 1, 2, 3),
    "batch_size": (8, 16, 32),
    "augmentation": ("none", "light", "heavy"),
    "lr": (1e-3, 1e-2, 0.1),
    "dropout": (0.0, 0.1, 0.5),
}


@st.composite
def domains(draw: st.DrawFn, name: str, kind: str) -> Domain:
    pool = POOLS[name]
    if kind == "fixed":
        return Fixed(value=draw(st.sampled_from(pool)))
    if kind == "choice":
        chosen = draw(st.lists(st.sampled_from(pool), min_size=1, unique=True))
        return Choice(choices=tuple(chosen))
    if kind == "int":
        low = draw(st.integers(1, 3))
        return IntRange(low=low, high=low + draw(st.integers(0, 2)))
    low = draw(st.sampled_from([1e-4, 1e-3]))
    steps = draw(st.sampled_from([None, 2, 3])) if kind == "any_float" else 3
    return FloatRange(low=low, high=0.5, log=draw(st.booleans()), steps=steps)


@st.composite
def spaces(draw: st.DrawFn, *, finite: bool = False) -> Space:
    """Sound spaces, but for branches that nothing reaches."""
    params: list[Param] = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        kinds = ["fixed", "choice"]
        if SETTINGS[name].kind == "int":
            kinds.append("int")
        if SETTINGS[name].kind == "float":
            kinds.append("float" if finite else "any_float")
        branches = []
        for _ in range(draw(st.integers(1, 3)) if params else 1):
            when = {}
            for other in draw(st.lists(st.sampled_from(params), max_size=2)) if params else []:
                if SETTINGS[other.name].kind == "int" and draw(st.booleans()):
                    when[other.name] = Condition(
                        param=other.name, min=float(draw(st.integers(0, 20)))
                    )
                else:
                    chosen = st.lists(st.sampled_from(POOLS[other.name]), min_size=1, unique=True)
                    when[other.name] = Condition(param=other.name, values=tuple(draw(chosen)))
            domain = draw(domains(name, draw(st.sampled_from(kinds))))
            branches.append(Branch(domain=domain, when=tuple(when.values())))
        params.append(Param(name=name, branches=tuple(branches)))
    return Space(params=tuple(params))


def study(space: Space) -> StudySpec:
    first = tuple(default_point(space, SETTINGS).point.items())
    return StudySpec(name="laws", data=DataSpec(path="x"), space=space, first=(first,))


@pytest.mark.slow
@LAW
@given(
    space=spaces(),
    seed=st.integers(0, 9),
    trials=st.none() | st.integers(1, 9),
    top=st.integers(2, 50),
)
def test_a_document_comes_back_as_the_same_spec(
    space: Space, seed: int, trials: int | None, top: int
) -> None:
    spec = StudySpec(
        name="laws",
        seed=seed,
        data=DataSpec(path="x"),
        space=space,
        first=study(space).first,
        epochs=Epochs(min=1, max=top),
        budget=Budget(trials=trials, minutes=None if trials else 0.5, stop_after=trials),
    )
    document = to_document(spec)
    assert from_document(json.loads(json.dumps(document))) == spec
    assert diff(document, document) == []


@pytest.mark.slow
@LAW
@given(space=spaces(), seed=st.integers(0, 1000))
def test_a_sampled_point_is_inside_its_space(space: Space, seed: int) -> None:
    random = Random(seed)

    def pick(name: str, domain: Domain) -> Value:
        listed = values(domain)
        if listed is not None:
            return random.choice(listed)
        assert isinstance(domain, FloatRange)
        return random.uniform(domain.low, domain.high)

    assert check_point(space, choose(space, pick)) == []


@pytest.mark.slow
@LAW
@given(space=spaces())
def test_the_default_point_is_inside_its_space(space: Space) -> None:
    assert check_point(space, default_point(space, SETTINGS).point) == []


@pytest.mark.slow
@LAW
@given(space=spaces(finite=True))
def test_the_grid_is_distinct_and_inside(space: Space) -> None:
    points = list(grid(space, 500))
    assert points
    assert len({tuple(point.items()) for point in points}) == len(points)
    assert all(check_point(space, point) == [] for point in points)


@pytest.mark.slow
@LAW
@given(space=spaces(finite=True))
def test_a_branch_is_reached_exactly_when_a_point_of_the_grid_uses_it(space: Space) -> None:
    points = list(grid(space, 20_000))
    if len(points) == 20_000:
        return
    for param in space.params:
        used = set()
        for point in points:
            before = {name: value for name, value in point.items() if name != param.name}
            for index, branch in enumerate(param.branches):
                if all(condition.holds(before) for condition in branch.when):
                    used.add(index)
                    break
        assert set(dead_branches(space, param.name)) == set(range(len(param.branches))) - used


@pytest.mark.slow
@LAW
@given(space=spaces(), left=st.sets(st.sampled_from(BACKBONES), min_size=1))
def test_a_narrowed_space_has_no_dead_branch_and_no_lost_backbone(
    space: Space, left: set[str]
) -> None:
    spec = study(space)
    try:
        narrowed, dropped = narrow(spec, left, SETTINGS)
    except ValueError as error:
        assert "no backbone" in str(error)  # noqa: PT017
        return
    assert not set(dropped) & left
    for point in narrowed.first:
        assert check_point(narrowed.space, dict(point)) == []
    if not dropped:
        return
    written = json.dumps(to_document(narrowed)["space"])
    assert not any(f'"{name}"' in written for name in set(BACKBONES) - left)
    for param in narrowed.space.params:
        assert dead_branches(narrowed.space, param.name) == {}


@pytest.mark.slow
@LAW
@given(space=spaces(finite=True), left=st.sets(st.sampled_from(BACKBONES), min_size=1))
def test_narrowing_keeps_the_points_of_the_backbones_that_are_left(
    space: Space, left: set[str]
) -> None:
    if "backbone" not in space:
        return
    # Where the backbone itself is conditional, losing it changes which points exist.
    if any(branch.when for branch in space["backbone"].branches):
        return
    points = list(grid(space, 5_000))
    if len(points) == 5_000:
        return
    kept = [point for point in points if point["backbone"] in left]
    if not kept:
        return
    narrowed, _ = narrow(study(space), left, SETTINGS)
    assert list(grid(narrowed.space)) == kept


@pytest.mark.slow
@LAW
@given(space=spaces())
def test_a_documents_space_is_a_space_file(space: Space) -> None:
    if any(dead_branches(space, param.name) for param in space.params):
        return
    text = json.dumps({"data": {"path": "x"}, "space": to_document(study(space))["space"]})
    try:
        loaded = load(text, file="x.yaml", settings=SETTINGS, sizes=sizes(), env={})
    except SearchError as error:
        # What a sampler cannot learn from is refused, and so is a value that never comes.
        allowed = ("share kind and log", "is never", "never used")
        assert all(  # noqa: PT017
            any(fact in problem.fact for fact in allowed) for problem in error.problems
        )
        return
    assert (
        diff(
            {"space": to_document(loaded.spec)["space"]},
            {"space": to_document(study(space))["space"]},
        )
        == []
    )


SHIPPED = [
    file.read_bytes() for file in sorted((Path(__file__).parents[3] / "spaces").glob("*.yaml"))
]
PIECES = [
    *(b"[]{}:,-#&*!|>'\"%@`?~\n\t \x00\xff\xe2"),
    *(b"\n---\n", b"<<: ", b"&a ", b"*a", b"null", b"1e999", b".nan", b"9" * 400, b"[" * 300),
    *(b"{" * 300, b"- " * 300, b"\n  ", b"when: {", b"int: ", b"float: ", b"\xc2\x85", b"\r"),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A shipped space with a few bytes put in, taken out, doubled or moved."""
    data = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        to = min(len(data), at + draw(st.integers(0, 40)))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        piece = bytes([piece]) if isinstance(piece, int) else piece
        data = draw(
            st.sampled_from(
                [
                    data[:at] + piece + data[at:],
                    data[:at] + piece + data[to:],
                    data[:at] + data[to:],
                    data[:to] + data[at:to] + data[to:],
                ]
            )
        )
    return data


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=mutations() | st.binary(max_size=200))
def test_a_mutated_file_is_read_or_refused_with_places_within_a_second(data: bytes) -> None:
    start = time.process_time()
    try:
        load(data, file="m.yaml", settings=SETTINGS, sizes=SIZES, env={})
    except SearchError as error:
        assert str(error)  # noqa: PT017
        assert all(problem.place for problem in error.problems[:-1])  # noqa: PT017
    assert time.process_time() - start < 1


SIZES = sizes()


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(0, 3000, 37))
def test_a_file_cut_short_is_read_or_refused(cut: int) -> None:
    for data in SHIPPED:
        try:
            load(data[:cut], file="m.yaml", settings=SETTINGS, sizes=SIZES, env={})
        except SearchError as error:
            assert str(error)  # noqa: PT017
