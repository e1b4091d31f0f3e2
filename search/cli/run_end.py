"""The end of a run: export the winner, open the test set once, show it all."""

from __future__ import annotations

import json as jsonlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from search.cli.final_view import Baseline, Best, FinalDocument, show_final, to_json
from search.cli.finishing import finish_apart
from search.cli.leaving import Left
from search.cli.paths import absolute_storage, storage_hint
from search.cli.preparation import Ready
from search.problems import SearchError
from search.space.spec import StudySpec
from search.study.records import State, StudyView, TrialView
from search.tuning.events import Listener, Measuring, Note
from search.tuning.homes import checkpoints_of, homes_of

if TYPE_CHECKING:
    from search.export.results import FinalResults
    from search.study.record import Recorder

TEST = "test"
"""Where in a study's folder it is kept what was said of the test set."""
RESULTS = "results"
"""Attribute of the study: what the test set said, of which winner."""
OPENED = "test_opened"
"""Attribute of the study: how often the test set was opened, by what for."""
NO_DEFAULT = (
    "the best trial is not compared with the default settings: trial {number}, which has them, "
    "was not trained to its end"
)
UNMEASURED = (
    "the search is over, but the best trial is not measured on the test set yet: "
    "the same command does that, and trains nothing again"
)


def conclude(
    recorder: Recorder,
    spec: StudySpec,
    ready: Ready,
    *,
    folder: Path,
    cache: Path,
    python: str | None,
    listen: Listener,
) -> None:
    """Export and measure the winner, unless that was done for this winner and beside the
    trial at default settings.

    What cannot be measured is said, and the study keeps what it has. ``python`` is run
    in place of Python where it is not None (``forkserver``).
    """
    view = recorder.view()
    winner = view.winner
    if winner is None:
        return
    default = comparable(view, recorder.default_number)
    if default is None and recorder.default_number is not None:
        listen(Note(text=NO_DEFAULT.format(number=recorder.default_number)))
    done = results_of(view)
    compared = None if default is None else default.number
    if (
        done is not None
        and (done.trial, done.default_trial) == (winner.number, compared)
        and Path(done.folder).is_dir()
    ):
        return
    listen(Measuring(what="exporting the best trial"))
    try:
        _measure(
            recorder,
            spec,
            ready,
            view,
            winner,
            default,
            folder=folder,
            cache=cache,
            python=python,
            listen=listen,
        )
    except Left:
        listen(Note(text=UNMEASURED, level="warning"))
        raise


def _measure(
    recorder: Recorder,
    spec: StudySpec,
    ready: Ready,
    view: StudyView,
    winner: TrialView,
    default: TrialView | None,
    *,
    folder: Path,
    cache: Path,
    python: str | None,
    listen: Listener,
) -> None:
    from search.data.manifest import load_table
    from search.export.asking import FinishJob
    from search.export.trial import Candidate, Origin

    homes = homes_of(view, folder)

    def candidate(trial: TrialView) -> Candidate:
        return Candidate(
            number=trial.number,
            params=trial.params,
            checkpoints=checkpoints_of(homes, trial.number),
        )

    opened = dict(view.attributes.get(OPENED, {}))

    def opening(what: str) -> None:
        opened[what] = opened.get(what, 0) + 1
        recorder.set_result(OPENED, opened)

    from search.cli.study_facts import TABLE, versions

    job = FinishJob(
        origin=Origin(
            study=spec.name,
            objective=spec.objective,
            table=load_table(folder / TABLE),
            weights=spec.weights,
            cache=cache,
            versions=versions(),
        ),
        winner=candidate(winner),
        default=None if default is None else candidate(default),
        destination=folder / "export",
        seed=spec.seed,
        opened=dict(opened),
        streamed=ready.streamed,
        kept=tuple(home / TEST for home in homes),
    )
    try:
        results = finish_apart(
            job,
            python=python,
            progress=lambda what, done, total: listen(Measuring(what=what, done=done, total=total)),
            opening=opening,
        )
    except SearchError as error:
        listen(Note(text=f"no test figures: {error.problems[0].fact}", level="warning"))
        return
    recorder.set_result(RESULTS, results.to_json())


def comparable(view: StudyView, number: int | None) -> TrialView | None:
    """The trial at default settings, once it is what they come to: one that was interrupted
    or failed says too little for them."""
    return next(
        (
            trial
            for trial in view.trials
            if trial.number == number
            and trial.state in (State.COMPLETE, State.PRUNED)
            and trial.best_value is not None
        ),
        None,
    )


def results_of(view: StudyView) -> FinalResults | None:
    """What the test set said of a study, if it was opened."""
    stored = view.attributes.get(RESULTS)
    if stored is None:
        return None
    from search.export.results import FinalResults

    return FinalResults.from_json(stored)


def show(view: StudyView, spec: StudySpec, *, began: float, json: bool) -> None:
    """Print the end of a run, or its one JSON document; the command ``began`` at that
    ``time.monotonic()``."""
    from search.study.storage import redact

    document = final_document(
        view,
        spec,
        storage=redact(absolute_storage(spec.storage)),
        command=time.monotonic() - began,
    )
    if json:
        print(jsonlib.dumps(to_json(document), allow_nan=False))
    else:
        show_final(document)


def final_document(
    view: StudyView, spec: StudySpec, *, storage: str, command: float = 0.0
) -> FinalDocument:
    """The end of a run, which took ``command`` seconds with all around its trials, as one
    value."""
    winner = view.winner
    results = results_of(view)
    if winner is None or (results is not None and results.trial != winner.number):
        results = None
    with_weights = view.ranked()[1 : spec.checkpoints.keep]
    best = None
    if winner is not None and winner.best_value is not None and winner.best_epoch is not None:
        best = Best(
            trial=winner.number,
            state=winner.state,
            value=winner.best_value,
            epoch=winner.best_epoch,
            params=winner.params,
            test=None if results is None else results.test,
        )
    return FinalDocument(
        study=view.name,
        objective=view.objective,
        counts=view.counts(),
        best=best,
        baselines=tuple(
            Baseline(name=each.name, test=each.test, comparison=each.comparison)
            for each in (() if results is None else results.baselines)
            if each.test is not None
        ),
        storage=storage,
        seconds=float(view.attributes.get("seconds", 0.0)),
        command=command,
        export=None if results is None else _short(Path(results.folder)),
        runner_up=with_weights[0].number if with_weights else None,
        storage_flag=storage_hint(spec.storage, os.environ),
    )


def _short(path: Path) -> Path:
    """Relative to the current folder where that is shorter to type."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
