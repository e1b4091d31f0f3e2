"""What a budget and a machine mean for a space, before anything is measured.

Pure. The figures are bounds, generous to the machine: a warning is given only
where even they are not enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.backbones.info import BackboneInfo
from search.cli.figures import duration, millions
from search.cli.hopeless import hopeless
from search.cli.machine import Machine
from search.problems import Problem
from search.space.halving import Expected
from search.space.spec import StudySpec

START = 10.0
"""Seconds before the first trial's first epoch; 6-9 s of them are Ray's."""

FASTEST = 75.0
"""Images a second of one CPU thread, forward and frozen, for REFERENCE at 160 px.
Measured: 37; doubled, so that no faster machine is told it cannot."""
REFERENCE = 4.65e6
"""Parameters of efficientnet_lite0."""

GPU_SIZED = 10e6
"""Parameters at 224 px from which training wants a GPU; work grows with both."""

SAMPLE_IMAGES = {"solar-cells": 2624}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A backbone of the space that can be trained here."""

    info: BackboneInfo
    size: int
    """Pixels; the smallest that the space lets it have."""


def warnings(
    spec: StudySpec,
    *,
    backbones: Sequence[Backbone],
    expected: Expected | None,
    machine: Machine,
    cluster: bool,
) -> list[Problem]:
    """What the user should know before the search is started.

    Args:
        spec: The study.
        backbones: Those that will not be left out.
        expected: The simulation; None without a limit on trials.
        machine: This one.
        cluster: The run is meant for a Ray cluster, whose cards we cannot see.
    """
    found = []
    on_cpu = not cluster and (machine.gpus == 0 or spec.resources.gpus_per_trial == 0)
    if spec.budget.minutes is not None and backbones:
        needed = START + spec.epochs.max * min(
            _fastest_epoch(spec, each, on_cpu=on_cpu) for each in backbones
        )
        if needed > spec.budget.minutes * 60:
            found.append(
                _warning(
                    f"a budget of {duration(spec.budget.minutes * 60)} cannot reach one full "
                    f"trial: {spec.epochs.max} epochs take at least {duration(needed)}",
                    f"--minutes {_whole_minutes(needed)} or more, or --set epochs.max=N",
                )
            )
    if expected is not None and expected.complete < 1:
        found.append(
            _warning(
                f"{spec.budget.trials} trials are not expected to reach one full trial",
                "--trials N, or --set scheduler.name=none",
            )
        )
    wanted = spec.resources.gpus_per_trial or 0
    if not cluster and wanted > machine.gpus:
        found.append(
            _warning(
                f"resources.gpus_per_trial is {wanted:g}, but this machine has {machine.gpus} GPUs:"
                " trials would wait for ever",
                "--address HOST:PORT of a cluster with GPUs, or --set resources.gpus_per_trial=0",
            )
        )
    large = [each for each in backbones if _weight(each) >= GPU_SIZED]
    if on_cpu and large:
        heaviest = max(large, key=_weight)
        more = f" (and {len(large) - 1} more)" if len(large) > 1 else ""
        found.append(
            _warning(
                f"this space is made for GPUs, and this run would use none: {heaviest.info.name} "
                f"has {millions(heaviest.info.parameters)} M parameters at {heaviest.size} px"
                f"{more}; expect hours on CPUs",
                "--address HOST:PORT of a cluster with GPUs, or search plan spaces/quick.yaml",
            )
        )
    return [*found, *hopeless(spec.space)]


def _fastest_epoch(spec: StudySpec, backbone: Backbone, *, on_cpu: bool) -> float:
    """Seconds that no epoch can be shorter than."""
    images = spec.data.max_images or SAMPLE_IMAGES.get(spec.data.sample or "")
    if images is None or not on_cpu:
        return 0.5
    trained = images * (1 - spec.data.split.val - spec.data.split.test)
    share = backbone.info.parameters / REFERENCE * (backbone.size / 160) ** 2
    # Stored activations of a frozen body are not computed again: only the first
    # epoch is bounded, so it is spread over all.
    return max(0.2, trained * share / FASTEST / spec.epochs.max)


def _weight(backbone: Backbone) -> float:
    return backbone.info.parameters * (backbone.size / 224) ** 2


def _whole_minutes(seconds: float) -> int:
    return int(-(-seconds // 60))


def _warning(fact: str, fix: str) -> Problem:
    return Problem(fact=fact, fix=fix, level="warning")
