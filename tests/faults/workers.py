"""R3 and R15: a trial's worker is killed, or stands still.

Killed, the trial goes on from its last checkpoint. Every trial loses its worker twice
(Ray starts it again so often) and must end complete all the same. Epochs that were
trained again are counted by the checkpoints that were written: one for every epoch
that was trained. Stopped (SIGSTOP), the worker is ended after its time-out.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import psutil

from tests.faults.database import read
from tests.faults.judge import judge, shown_by
from tests.faults.place import Place, Start
from tests.faults.row import Row
from tests.faults.writes import injected

EACH = 2
"""Kills for each trial."""
EPOCHS = 60
HANG_MINUTES = 0.4
"""Time-out of an epoch: the first one of a worker needs some seconds on a slow machine."""


def kill_workers(folder: Path, kills: int, *, seed: int) -> Row:
    """Kill the worker so often in one run of ``kills / 2`` trials."""
    began = time.monotonic()
    trials = -(-kills // EACH)
    place = Place(folder, trials=trials, epochs=EPOCHS, scheduler="none")
    Path(f"{folder}.ledger").unlink(missing_ok=True)
    start = place.start("run", "tiny.yaml", env=injected(place, None))
    faults: list[str] = []
    moments = random.Random(seed)
    done = 0
    for kill in range(kills):
        trial, which = divmod(kill, EACH)
        epoch = moments.randint(2 + 20 * which, 12 + 20 * which)
        if not start.wait_for(rf"trial +{trial}  epoch +{epoch} "):
            faults.append(f"kill {kill}: trial {trial} never came to epoch {epoch}")
            break
        workers = _workers(start)
        if len(workers) != 1:
            faults.append(f"kill {kill}: {len(workers)} workers train")
        for worker in workers:
            worker.kill()
        if not start.wait_for(rf"trial {trial}: its worker died", count=which + 1):
            faults.append(f"kill {kill}: it was not noticed")
            break
        done += 1
    status = start.wait()
    if status != 0:
        faults.append(f"exit {status}: {start.error_text[-500:]}")
    record = read(place.url)
    faults += judge(shown_by(place.starts), record, ended=True).faults
    for each in record.trials:
        if each.state != "COMPLETE" or sorted(each.curve) != list(range(1, EPOCHS + 1)):
            faults.append(f"trial {each.number}: {each.state} with {len(each.curve)} epochs")
    again = _trained_again(Path(f"{folder}.ledger"), trials)
    if again > done:
        faults.append(f"{again} epochs were trained again after {done} kills")
    left = start.left_after(5.0)
    if left:
        faults.append(f"processes were left: {', '.join(left)}")
    return Row(
        id="R3",
        fault="kill -9 of a trial's worker",
        promise="goes on from its last checkpoint, at most one epoch repeated",
        tried=kills,
        survived=max(0, done - len(faults)),
        figures=f"{record.count('COMPLETE')} trials complete; epochs trained again: {again}",
        kills=True,
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def hang_workers(folder: Path, trials: int) -> Row:
    """Stop the worker of each trial but the last, as a trial that hangs does."""
    began = time.monotonic()
    place = Place(folder, trials=trials + 1, epochs=EPOCHS, scheduler="none")
    start = place.run("--set", f"resources.minutes_per_epoch={HANG_MINUTES}")
    faults: list[str] = []
    slowest = 0.0
    for trial in range(trials):
        if not start.wait_for(rf"trial +{trial}  epoch +5 "):
            faults.append(f"trial {trial} never came to epoch 5: {start.error_text[-300:]}")
            break
        for worker in _workers(start):
            worker.suspend()
        stopped = time.monotonic()
        if not start.wait_for(rf"trial +{trial}  failed +timeout"):
            faults.append(f"trial {trial} was not ended")
            break
        slowest = max(slowest, time.monotonic() - stopped)
    status = start.wait() if not faults else start.process.poll()
    if status != 0:
        start.kill()
        faults.append(f"exit {status}: {start.error_text[-500:]}")
    record = read(place.url)
    faults += judge(shown_by(place.starts), record, ended=True).faults
    hung = sum(each.attributes.get("reason") == "timeout" for each in record.trials)
    if hung != trials or record.count("COMPLETE") != 1:
        faults.append(f"{[(each.state, each.attributes.get('reason')) for each in record.trials]}")
    left = start.left_after(5.0)
    if left:
        faults.append(f"processes were left: {', '.join(left)}")
    return Row(
        id="R15",
        fault="a trial hangs (its worker is stopped)",
        promise="ended after its time-out, reason timeout",
        tried=trials,
        survived=hung,
        figures=f"limit {HANG_MINUTES * 60:.0f} s, the slowest was ended after {slowest:.0f} s",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _workers(start: Start) -> list[psutil.Process]:
    found = []
    for process in start.below():
        try:
            if re.match(r"ray::.*(Trainable|FineTune)", process.cmdline()[0]):
                found.append(process)
        except (psutil.Error, IndexError):
            continue
    return found


def _trained_again(ledger: Path, trials: int) -> int:
    """Checkpoints of last epochs that were written beyond one for each epoch."""
    written = re.findall(
        r"^worker: rename studies/tiny/trials/\d+/last\.safetensors ",
        ledger.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    return len(written) - trials * EPOCHS
