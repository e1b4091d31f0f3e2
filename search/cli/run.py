"""``search run``: from a checked space file to an exported model, start to end.

The order is the promise: the file is checked before anything is touched, the
lease is held before anything is written, images and weights are ready before the
study is made, and the test set is opened last. A signal at any time ends it with
the command that goes on, and with no process left behind.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from search.cli.choices import backbones_of, boundaries_of, cache_bytes, libraries_of
from search.cli.columns import terminal_width
from search.cli.dashboard import beside
from search.cli.entry import show_problems
from search.cli.leaving import Left, leave_on
from search.cli.live import follow, setup_of
from search.cli.machine import this_machine
from search.cli.options import RunOptions
from search.cli.paths import absolute_storage, cache_folder, storage_hint, study_folder
from search.cli.plan_facts import gather
from search.cli.plan_view import brief_lines
from search.cli.preparation import Preparation, Ready, Request
from search.cli.run_checks import check_disk
from search.cli.run_exit import exit_status, finished, stopped
from search.cli.run_notes import say_what_is_ready, say_where_it_stands
from search.cli.space_file import load_space
from search.cli.started import STARTED, started
from search.cli.study_facts import TABLE, versions
from search.problems import Exit
from search.space.spec import StudySpec
from search.tuning.events import Listener, Preparing

if TYPE_CHECKING:
    from search.study.lease import Lease
    from search.study.record import Recorder
    from search.study.records import StudyView
    from search.tuning.driver import RunEnd


def run(options: RunOptions) -> Exit:
    """Run or continue a study; prints everything that ``search run`` prints.

    Raises:
        SearchError: For whatever the user can mend.
    """
    leave_on(signal.SIGINT, signal.SIGTERM)
    try:
        return _run(options)
    except Left as cut:
        return stopped(cut.number, json=options.json)


def _run(options: RunOptions) -> Exit:
    from search.tuning.address import chosen

    options = replace(options, address=chosen(options.address, os.environ))
    spec = _say_the_plan(options)
    cache = cache_folder(os.environ, spec.cache.dir)
    folder = study_folder(spec.checkpoints.dir, spec.name)
    for place in (folder, cache):
        check_disk(place)
    where = storage_hint(spec.storage, os.environ)
    from search.study.lease import Lease  # with a database: a mistake in the file is told before

    with Lease(spec.storage, spec.name, where=where, on_end=_terminate) as lease:
        try:
            view, end = _held(spec, options, folder, cache, lease)
        except Left as cut:
            if lease.lost is not None:
                raise lease.lost from None
            return stopped(cut.number, by=lease.stop, json=options.json)
        if lease.lost is not None:
            raise lease.lost
        return exit_status(view, end, spec, by=lease.stop, json=options.json)


def _terminate() -> None:
    """End this run as SIGTERM does, wherever it is; called by the lease."""
    os.kill(os.getpid(), signal.SIGTERM)


def _held(
    spec: StudySpec, options: RunOptions, folder: Path, cache: Path, lease: Lease
) -> tuple[StudyView, RunEnd]:
    """Everything that is done while the study is ours."""
    from search.cli.run_end import conclude, show
    from search.study.views import find
    from search.tuning.belonging import refuse_anothers
    from search.tuning.forkserver import forkserver

    before = find(spec.storage, spec.name)
    refuse_anothers(folder, spec.name, before, storage=spec.storage)
    with ExitStack() as stack:

        def opened() -> None:
            if options.dashboard:
                stack.enter_context(beside(spec.storage, listen))

        python = None
        if options.address is None and not _over(spec, before):
            # imports while Ray comes up; workers and the end of the run are its forks
            python = stack.enter_context(forkserver(libraries_of(spec.space)))
        with follow(setup_of(spec), json=options.json) as listen:
            recorder, ready, end = _search(
                spec, options, folder, cache, listen, opened, lease, before=before, python=python
            )
            try:
                if end.signal is None:
                    conclude(
                        recorder,
                        spec,
                        ready,
                        folder=folder,
                        cache=cache,
                        python=python,
                        listen=listen,
                    )
            except Left as cut:
                end = replace(end, signal=cut.number)
        view = recorder.view()
        recorder.close()
        if lease.lost is None:
            show(view, spec, began=options.began, json=options.json)
        return view, end


def _say_the_plan(options: RunOptions) -> StudySpec:
    """Read and check the space file; print what will happen, then what to mind."""
    loaded = load_space(options.space, options.flags, env=os.environ)
    if loaded.refused is not None:
        raise loaded.refused
    plan = gather(
        loaded,
        space=options.space,
        flags=options.flags,
        env=os.environ,
        machine=this_machine(os.environ),
        cluster=options.address is not None,
    )
    out = sys.stderr if options.json else sys.stdout
    width = None if options.json else terminal_width()
    print("\n".join(brief_lines(plan, width=width)), file=out, flush=True)
    to_mind = [problem for problem in plan.warnings if problem.level != "note"]
    if to_mind:
        show_problems(to_mind)
    return loaded.spec


def _search(
    spec: StudySpec,
    options: RunOptions,
    folder: Path,
    cache: Path,
    listen: Listener,
    opened: Callable[[], None],
    lease: Lease,
    *,
    before: StudyView | None,
    python: str | None,
) -> tuple[Recorder, Ready, RunEnd]:
    """Prepare, open the study, and run what is left of its budget."""
    from search.space.document import to_document
    from search.tuning.driver import RunEnd

    request = Request(
        document=to_document(spec),
        base=str(Path.cwd()),
        cache=str(cache),
        fixed=() if before is None else tuple(before.attributes.get("backbones", ())),
    )
    with _ended(Preparation(request)) as preparation:
        if _over(spec, before):
            listen(Preparing(what="checking images and weights"))
            ready = preparation.wait(listen)
            recorder = _open(spec, ready, folder, options, lease)
            return recorder, ready, RunEnd()
        listen(Preparing(what="starting Ray"))
        from search.cli.trial_files import trial_files
        from search.tuning.aside import aside
        from search.tuning.cluster import connected
        from search.tuning.driver import execute
        from search.tuning.job import TRIALS, Abroad, TrialJob
        from search.tuning.resources import allocate

        with aside(connected(options.address, cpus=_cores(spec), python=python)) as cluster:
            ready = preparation.wait(listen)
            recorder = _open(spec, ready, folder, options, lease)
            opened()
            say_what_is_ready(spec, ready, listen)
            say_where_it_stands(recorder.view(), spec, listen)
            allocation = allocate(cluster.nodes, spec.resources)
            job = TrialJob(
                table=str(folder / TABLE),
                trials=str(folder / TRIALS),
                cache=str(cache),
                cache_bytes=cache_bytes(spec.cache),
                boundaries=boundaries_of(spec),
                run=uuid4().hex,
                backbones=ready.backbones,
                objective=spec.objective,
                maximize=spec.direction == "maximize",
                patience=spec.patience,
                threads=allocation.threads,
                device="cuda" if allocation.gpus > 0 else "cpu",
                streamed=ready.streamed,
                abroad=None
                if cluster.local
                else Abroad(
                    data=spec.data,
                    weights=spec.weights,
                    cache=spec.cache.dir,
                    forms=ready.decoded,
                ),
            )
            if job.abroad is not None:
                from search.tuning.exported import exporting
                from search.tuning.muster import muster

                storage = absolute_storage(spec.storage)
                muster(job, folder, allocation, listen, storage=storage)
                listen = exporting(listen, recorder.view())
            end = execute(
                spec=recorder.spec,
                recorder=recorder,
                job=job,
                own_size=_own_sizes(spec),
                cluster=cluster,
                allocation=allocation,
                listener=listen,
                files=trial_files(folder, recorder.spec),
            )
    return recorder, ready, end


def _over(spec: StudySpec, before: StudyView | None) -> bool:
    """Whether there is nothing left to train."""
    return before is not None and finished(spec.budget, before)


def _open(
    spec: StudySpec, ready: Ready, folder: Path, options: RunOptions, lease: Lease
) -> Recorder:
    """Create the study or go on with it, and keep its image table beside it."""
    from search.data.files import write_whole
    from search.space.narrow import narrow
    from search.study.opening import StudyFacts, open_study
    from search.training.config import SETTINGS
    from search.tuning.homes import homes_of, settle_in
    from search.tuning.retention import tidy

    names = tuple(backbone.name for backbone in ready.backbones)
    narrowed, _ = narrow(spec, names, SETTINGS)
    recorder = open_study(
        spec.storage,
        narrowed,
        StudyFacts(
            fingerprint=ready.fingerprint,
            counts=ready.counts,
            classes=ready.classes,
            backbones=names,
            weights={backbone.name: backbone.sha256 for backbone in ready.backbones},
            versions=versions(),
            asked=backbones_of(spec.space),
        ),
        lease=lease,
    )
    settle_in(recorder, folder, storage=spec.storage)
    recorder.set_result(STARTED, started(options.space, options.flags))
    view = recorder.view()
    tidy(view, homes_of(view, folder), spec.checkpoints.keep, recorder.default_number)
    write_whole(folder / TABLE, ready.table.read_bytes())
    return recorder


def _cores(spec: StudySpec) -> int:
    """Cores that a local Ray is told of: more than there are where a trial asks so."""
    here = len(os.sched_getaffinity(0))
    concurrency, each = spec.resources.concurrency, spec.resources.cpus_per_trial
    if concurrency is not None and each is None:
        return max(here, concurrency)
    return here


def _own_sizes(spec: StudySpec) -> dict[str, int]:
    from search.backbones.catalogue import sizes

    return {name: rule.default for name, rule in sizes(spec.weights).items()}


@contextmanager
def _ended(preparation: Preparation) -> Iterator[Preparation]:
    try:
        yield preparation
    finally:
        preparation.end()
