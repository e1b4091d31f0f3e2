"""One run of a study: Tune in a thread of its own, signals and clock in this one.

Tune's ``fit`` blocks and takes the signals of the thread it runs in, so it
gets another. This thread waits, says what is going on when nothing settles,
and on Ctrl-C or SIGTERM lets reports land and leaves within ten seconds.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from search.problems import fail
from search.space.settings import Value
from search.space.spec import StudySpec
from search.study.records import StudyView
from search.training.config import TrialConfig, trial_config
from search.tuning.cluster import Cluster
from search.tuning.conductor import Conductor
from search.tuning.events import Idle, Listener, Note
from search.tuning.homes import homes_of
from search.tuning.job import TrialJob
from search.tuning.killed import Killed
from search.tuning.landing import land
from search.tuning.resources import Allocation
from search.tuning.retention import tidy
from search.tuning.seams import Recorder
from search.tuning.tune_alone import import_tune

REPORTS_MAY_LAND = 5.0
"""Seconds that running trials get after a stop to report once more."""
SAY_SOMETHING = 15.0
"""Seconds of silence after which a line is printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """Why a run ended."""

    signal: int | None = None
    """SIGINT or SIGTERM when the user stopped it."""
    too_many_failures: bool = False
    out_of_time: bool = False
    exhausted: bool = False
    """Every point of a finite space was tried."""


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a trial: 31 bits that depend on both numbers alone."""
    return random.Random(f"trial {study_seed} {number}").getrandbits(31)


def resolver(
    spec: StudySpec, own_size: Mapping[str, int]
) -> Callable[[int, Mapping[str, Value]], TrialConfig]:
    """A function (number, point) -> full config of that trial of ``spec``."""

    def resolve(number: int, point: Mapping[str, Value]) -> TrialConfig:
        return trial_config(
            point,
            own_size=own_size,
            epochs=spec.epochs.max,
            seed=trial_seed(spec.seed, number),
            augmentation_seed=spec.seed,
            activations=spec.cache.activations,
        )

    return resolve


def execute(
    *,
    spec: StudySpec,
    recorder: Recorder,
    job: TrialJob,
    own_size: Mapping[str, int],
    cluster: Cluster,
    allocation: Allocation,
    listener: Listener,
    files: Callable[[int, Listener], Sequence[str]] = lambda _number, _say: (),
) -> RunEnd:
    """Run trials until the budget is used up or someone stops it.

    Args:
        spec: The study.
        recorder: Its only writer from now on.
        job: The constant part of its trials.
        own_size: Default image size by backbone, pixels.
        cluster: Connected.
        allocation: What each trial gets.
        listener: Told of everything; called from two threads, one at a time.
        files: Called with a trial's number, and whom to tell, before it is settled; makes
            and names what there is to see of it.

    Raises:
        SearchError: If this machine can never take a trial.
    """
    if allocation.concurrency == 0 and cluster.local:
        raise fail(
            allocation.lacking.replace("waiting for", "not enough"),
            fix="resources: {gpus_per_trial: 0, cpus_per_trial: 1}, or --address of a cluster",
        )
    say = _one_at_a_time(listener)
    recorder.announce(lambda text: say(Note(level="warning", text=text)))

    def settled(view: StudyView) -> None:
        homes = homes_of(view, Path(job.trials).parent)
        tidy(view, homes, spec.checkpoints.keep, recorder.default_number)

    conductor = Conductor(
        spec=spec,
        recorder=recorder,
        listener=say,
        concurrency=max(1, allocation.concurrency),
        on_settled=settled,
        files=lambda number: files(number, say),
    )
    fit = _Fit(spec, conductor, resolver(spec, own_size), job, allocation, cluster.scratch)
    stopped_by: int | None = None
    with _signals() as received:
        fit.start()
        deadline = None
        told_of_time = False
        last_said = time.monotonic()
        while fit.is_alive():
            fit.join(0.1)
            now = time.monotonic()
            if received and stopped_by is None:
                stopped_by = received[0]
                say(Note(text="stopping: running trials may report once more"))
                conductor.stop()
                deadline = now + REPORTS_MAY_LAND
            if deadline is not None and (conductor.reported or now > deadline):
                recorder.hurry()
                fit.join(1.0)
                break
            if conductor.out_of_time and conductor.live and not told_of_time:
                told_of_time = True
                say(Note(text="the time is used up: running epochs are finished, then it ends"))
            if now - max(conductor.last_progress, last_said) > SAY_SOMETHING:
                last_said = now
                say(Idle(text=_what_goes_on(conductor, allocation)))
        land(conductor, recorder, hurried=lambda: bool(received), say=say, trials=job.trials)
    if fit.error is not None and stopped_by is None:
        raise fit.error
    return RunEnd(
        signal=stopped_by,
        too_many_failures=conductor.too_many_failures,
        out_of_time=conductor.out_of_time,
        exhausted=conductor.exhausted,
    )


class _Fit(threading.Thread):
    """Tune, from its first trial to its last, in a thread of its own."""

    def __init__(
        self,
        spec: StudySpec,
        conductor: Conductor,
        resolve: Callable[[int, Mapping[str, Value]], TrialConfig],
        job: TrialJob,
        allocation: Allocation,
        scratch: Path,
    ) -> None:
        super().__init__(name="tune", daemon=True)
        self._spec = spec
        self._conductor = conductor
        self._resolve = resolve
        self._job = job
        self._allocation = allocation
        self._scratch = scratch
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._tune()
        except BaseException as error:
            self.error = error

    def _tune(self) -> None:
        # Tune stages one trial at a time unless told how many run at once.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(1, self._allocation.concurrency))
        import_tune()
        from ray import tune

        # A worker's death is said in a line of ours, and kept whole with its trial;
        # what ends the run is raised.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        from search.tuning.asha import Asha
        from search.tuning.deaths import hand_deaths_on
        from search.tuning.hanging import EndHanging
        from search.tuning.searcher import StudySearcher
        from search.tuning.stopper import Over
        from search.tuning.trainable import FineTune

        spec, conductor = self._spec, self._conductor
        scheduler = Asha(
            metric="value",
            objective=spec.objective,
            maximize=spec.direction == "maximize",
            min_epochs=spec.epochs.min,
            max_epochs=spec.epochs.max,
            reduction_factor=spec.scheduler.reduction_factor,
            stops=spec.scheduler.name == "asha",
            on_report=conductor.on_report,
            on_death=Killed(conductor, self._resolve, self._job).died,
        )
        conductor.recall(scheduler)
        hand_deaths_on()
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(FineTune, job=self._job),
                {"cpu": self._allocation.cpus, "gpu": self._allocation.gpus},
            ),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(conductor, scheduler, self._resolve),
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=_dirname,
            ),
            run_config=tune.RunConfig(
                name=spec.name,
                storage_path=str(self._scratch / "tune"),
                stop=Over(conductor),
                callbacks=[EndHanging(conductor, spec.resources.minutes_per_epoch)],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=2),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _dirname(trial: object) -> str:
    """Tune's own folder of a trial; the default spells out every param."""
    return f"trial_{getattr(trial, 'trial_id', 'unknown')}"


def _what_goes_on(conductor: Conductor, allocation: Allocation) -> str:
    """One line for a time in which nothing settled."""
    if allocation.concurrency == 0:
        return allocation.lacking
    if conductor.live == 0:
        return "starting workers"
    return f"{conductor.live} running, no report for {conductor.quiet_seconds:.0f} s"


def _one_at_a_time(listener: Listener) -> Listener:
    """The listener behind a lock: Tune's thread and this one both speak."""
    lock = threading.Lock()

    def say(event: object) -> None:
        with lock:
            listener(event)  # type: ignore[arg-type]

    return say


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM; a second one of either leaves at once."""
    received: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        received.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
