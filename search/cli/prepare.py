"""Images and weights made ready, in a process of its own while Ray comes up.

Run as ``python -m search.cli.prepare``: one request on stdin, then one JSON
object a line on stdout: progress, notes, and at the end what is ready or what
is wrong. The other side is ``preparation.py``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from search.backbones.without_compiler import put_off_compiler
from search.cli.choices import backbones_of, image_sizes_of
from search.cli.leaving import leave_on
from search.cli.preparation import Ready, Request
from search.data.images import DecodedForm
from search.problems import Exit, Problem, SearchError
from search.space.spec import StudySpec
from search.tuning.events import Listener, Note, Preparing
from search.tuning.job import PreparedBackbone


def prepare(request: Request, listener: Listener) -> Ready:
    """Do the work, in this process. See :class:`Ready` for what it leaves."""
    from search.cli.room import check_room
    from search.data.manifest import save_table
    from search.data.prepare import prepare as prepare_images
    from search.space.document import from_document

    spec = from_document(request.document)
    cache = Path(request.cache)

    def progress(what: str, done: int, total: int) -> None:
        listener(Preparing(what=what, done=done, total=total))

    prepared = prepare_images(spec.data, base=Path(request.base), cache=cache, progress=progress)
    for note in prepared.notes:
        listener(Note(text=note))
    for path, reason in prepared.skipped:
        listener(Note(text=f"left out: {path}: {reason}", level="warning"))
    table = prepared.table
    file = cache / "tables" / f"{table.fingerprint}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_table(table, file)
    streaming = check_room(spec, table, request.fixed or backbones_of(spec.space), cache)
    if streaming.forms:
        listener(Note(text=str(streaming), level="warning"))
    backbones, left_out = ready_weights(spec, cache, request.fixed, listener)
    decoded = _decode(spec, table, backbones, cache, listener, streamed=streaming.forms)
    return Ready(
        table=file,
        fingerprint=table.fingerprint,
        counts={str(part): count for part, count in table.counts().items()},
        classes=table.classes,
        backbones=tuple(backbones),
        left_out=tuple(left_out),
        licence=table.licence,
        streamed=streaming.forms,
        decoded=decoded,
    )


def ready_weights(
    spec: StudySpec, cache: Path, fixed: tuple[str, ...], listener: Listener
) -> tuple[list[PreparedBackbone], list[str]]:
    """Fetch what is missing, and say what cannot be had."""
    from search.backbones.download import fetch, weights_hash

    def progress(what: str, done: int, total: int) -> None:
        listener(Preparing(what=what, done=done, total=total))

    ready: list[PreparedBackbone] = []
    left_out: list[str] = []
    problems: list[Problem] = []
    names = fixed or backbones_of(spec.space)
    for done, name in enumerate(names):
        progress("checking weights", done, len(names))
        try:
            located = fetch(name, spec.weights, cache, progress)
        except SearchError as error:
            if error.status is not Exit.MISSING:
                raise
            problems.extend(error.problems)
            left_out.append(name)
            continue
        if name in dict(spec.weights.files):
            # A file of the user's: what it holds is checked now, not in a trial.
            from search.backbones.weights import load_state

            load_state(located)
        ready.append(
            PreparedBackbone(
                name=name,
                weights=None if located.path is None else str(located.path),
                sha256=weights_hash(located, seed=spec.seed),
                preprocessing=located.preprocessing,
            )
        )
    if problems and (fixed or spec.weights.unavailable == "error" or not ready):
        raise SearchError(problems, Exit.MISSING)
    if left_out:
        reasons = dict.fromkeys(problem.fact.partition(": ")[2] for problem in problems)
        listener(
            Note(
                text=f"left out, for their weights are not here: {', '.join(left_out)} "
                f"({_reason(list(reasons))}); goes on with "
                f"{', '.join(each.name for each in ready)}",
                level="warning",
            )
        )
    return ready, left_out


def _reason(reasons: list[str]) -> str:
    """Why weights cannot be had, once where it is the same for all."""
    starts = {reason.partition(":")[0] for reason in reasons}
    return starts.pop() if len(starts) == 1 else f"{reasons[0]}, and others"


def _decode(
    spec: StudySpec,
    table: Any,
    backbones: list[PreparedBackbone],
    cache: Path,
    listener: Listener,
    *,
    streamed: tuple[DecodedForm, ...],
) -> tuple[DecodedForm, ...]:
    """Decode all images once for each form that is stored; these forms."""
    from search.backbones.catalogue import sizes
    from search.data.store import decoded_side, ensure_decoded

    rules = sizes(spec.weights)
    forms = {
        DecodedForm(
            side=decoded_side(size or rules[backbone.name].default),
            interpolation=backbone.preprocessing.interpolation,
        )
        for backbone in backbones
        for size in image_sizes_of(spec.space)
    }
    wanted = sorted(forms.difference(streamed), key=lambda form: (form.side, form.interpolation))
    for form in wanted:
        ensure_decoded(
            table,
            side=form.side,
            interpolation=form.interpolation,
            cache=cache,
            progress=lambda what, done, total: listener(
                Preparing(what=what, done=done, total=total)
            ),
        )
    return tuple(wanted)


def _speak(kind: str, content: dict[str, Any]) -> None:
    print(json.dumps({"kind": kind, **content}, default=str), flush=True)


def _listen(event: object) -> None:
    if isinstance(event, Preparing):
        _speak("preparing", asdict(event))
    elif isinstance(event, Note):
        _speak("note", asdict(event))


def _messages() -> Iterator[tuple[str, dict[str, Any]]]:
    """The last message of the child: what is ready, or what is wrong."""
    row = json.load(sys.stdin)
    row["fixed"] = tuple(row["fixed"])
    try:
        yield "ready", asdict(prepare(Request(**row), _listen))
    except SearchError as error:
        yield (
            "problems",
            {
                "problems": [asdict(problem) for problem in error.problems],
                "status": int(error.status),
            },
        )


def main() -> None:
    """The child process."""
    put_off_compiler()
    leave_on(signal.SIGTERM)  # through every `finally`: no half-written file stays
    try:
        for kind, content in _messages():
            _speak(kind, content)
    except BrokenPipeError:  # the run is gone, and nobody is left to be told
        os._exit(1)


if __name__ == "__main__":
    main()
