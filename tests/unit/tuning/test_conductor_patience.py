"""A trial that ends itself is complete, and stays so after a kill: real recorder and ASHA."""

from __future__ import annotations

from dataclasses import replace

from search.cli.status_document import trial_document
from search.cli.status_view import study_lines, trial_lines
from search.study.records import STOPPED_EARLY, State
from search.tuning.events import EpochDone, TrialSettled
from search.tuning.job import Told
from tests.unit.tuning.conducted import RayTrial, Run, spec

WHY = "loss has not improved for 2 epochs: 0.412 at epoch 1"


def _ends(run: Run, ray_id: str, epoch: int, value: float) -> str:
    """A report with which the trial ends itself."""
    told = Told(attributes={"metrics": {}, STOPPED_EARLY: WHY})
    result = {"epoch": epoch, "value": value, "told": told}
    answer = run.asha.on_trial_result(None, RayTrial(ray_id), result)
    assert run.conductor.written(20)
    return answer


def test_it_is_complete_with_its_best_epoch_and_the_reason_is_shown_and_kept() -> None:
    run = Run(spec(epochs=9))
    run.ask("a")
    run.report("a", 1, 0.9)
    assert _ends(run, "a", 2, 0.7) == "STOP"
    trial = run.view().trials[0]
    assert (trial.state, trial.best_value, trial.best_epoch) == (State.COMPLETE, 0.9, 1)
    assert (trial.why, trial.attributes[STOPPED_EARLY]) == (WHY, WHY)
    shown = run.said(EpochDone)[-1]
    assert isinstance(shown, EpochDone)
    assert (shown.keeps, shown.why) == (False, WHY)
    settled = run.said(TrialSettled)[-1]
    assert isinstance(settled, TrialSettled)
    assert settled.outcome.state is State.COMPLETE


def test_what_asha_stops_at_the_same_report_is_pruned_by_asha() -> None:
    run = Run(spec(epochs=9))
    run.ask("a")
    run.ask("b")
    run.report("a", 1, 0.9)
    assert _ends(run, "b", 1, 0.1) == "STOP"
    trial = run.view().trials[1]
    assert trial.state is State.PRUNED
    assert trial.why == "rung 1: 0.100 < 0.900, the cutoff of 1 earlier trial"
    assert STOPPED_EARLY not in trial.attributes


def test_the_default_settings_end_themselves_too() -> None:
    wanted = replace(spec(epochs=9), first=((("lr", 1e-3),),), default_first=True)
    run = Run(wanted)
    run.ask("default")
    assert _ends(run, "default", 1, 0.5) == "STOP"
    assert run.view().trials[0].state is State.COMPLETE


def test_cut_between_its_last_report_and_its_end_it_is_complete_when_the_study_goes_on() -> None:
    run = Run(spec(epochs=9))
    run.ask("a")
    run.recorder.report(0, 1, 0.9, {})
    run.recorder.report(0, 2, 0.7, {STOPPED_EARLY: WHY})  # and the driver is killed
    later = Run(run.spec, storage=run.storage)
    later.recorder.recover()
    assert later.ask("b") == 1  # not trained on
    trial = later.view().trials[0]
    assert (trial.state, trial.why) == (State.COMPLETE, WHY)
    assert trial.best_value == 0.9


def test_status_tells_it_from_a_trial_that_reached_the_last_epoch() -> None:
    run = Run(spec(epochs=3))
    run.ask("a")
    run.ask("b")
    for epoch in (1, 2, 3):
        run.report("a", epoch, 0.5)
    _ends(run, "b", 1, 0.9)
    view = run.view()
    text = "\n".join(study_lines(view, storage="here", flag=""))
    assert "1 of 2 complete" in text
    one, two = ("\n".join(trial_lines(view, trial, flag="")) for trial in view.trials)
    assert "stopped early" not in one
    assert "complete (stopped early)" in two
    assert WHY in two
    document = trial_document(view, view.trials[1], storage="here")
    assert (document["state"], document["why"]) == ("complete", WHY)
    assert document["attributes"][STOPPED_EARLY] == WHY
