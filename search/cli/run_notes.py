"""What ``search run`` says before its first trial: its images, and where its budget stands."""

from __future__ import annotations

from search.cli.preparation import Ready
from search.space.spec import StudySpec
from search.study.records import StudyView
from search.tuning.events import Listener, Note, Progress


def say_what_is_ready(spec: StudySpec, ready: Ready, listen: Listener) -> None:
    """How many images there are in each part, and what is learnt of them."""
    counts = ready.counts
    listen(
        Note(
            text=f"{sum(counts.values())} images, {_what_is_learnt(spec, ready)}: "
            f"{counts['train']} train, {counts['val']} val, {counts['test']} test"
        )
    )
    if ready.licence:
        listen(Note(text=ready.licence))


def say_where_it_stands(view: StudyView, spec: StudySpec, listen: Listener) -> None:
    """What earlier runs used of the budget; the driver tells the rest."""
    listen(
        Progress(
            settled=sum(trial.state.settled for trial in view.trials),
            running=0,
            budget_trials=spec.budget.trials,
            seconds=float(view.attributes.get("seconds", 0.0)),
            seconds_left=None,
        )
    )


def _what_is_learnt(spec: StudySpec, ready: Ready) -> str:
    if spec.data.task == "regression":
        return f"a number each{f' in {spec.data.unit}' if spec.data.unit else ''}"
    several = ", several an image" if spec.data.task == "multilabel" else ""
    return f"{len(ready.classes)} classes{several}"
