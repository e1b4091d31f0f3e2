"""R11 and R12: the same study started twice at once, and an edited space run again."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

from tests.faults.database import read
from tests.faults.place import Place, Start
from tests.faults.row import Row

CONFLICT = 4
CHOICE_SECONDS = 60.0

EDITS = (
    "space.lr={float: [1e-3, 2e-1], log: true}",
    "space.lr={float: [1e-3, 1e-1], log: false}",
    "space.lr=0.01",
    "space.unfreeze_depth={int: [0, 2]}",
    "space.unfreeze_depth=1",
    "space.augmentation=[none, light, medium]",
    "space.augmentation=none",
    "space.batch_size=16",
    "space.image_size=64",
    "space.dropout=0.5",
    "space.backbone=[mobilenet_v3_small, resnet18]",
    "epochs={min: 1, max: 9}",
    "epochs={min: 2, max: 3}",
    "objective=accuracy",
    "study.seed=2",
    "data.split.val=0.3",
    "data.split.seed=5",
    "sampler.name=random",
    "scheduler.reduction_factor=2",
    "space.views=2",
)
"""Each gives other trials, or values that cannot be compared."""
ALLOWED = (("--minutes", "600"), ("--concurrency", "2"), ("--set", "checkpoints.keep=3"))


def double_starts(folder: Path, storage: str | None, times: int) -> Row:
    """Two starts at the same moment, so often; then one more beside the winner."""
    began = time.monotonic()
    place = Place(folder, storage=storage, trials=9)
    faults: list[str] = []
    both = refused = 0
    for turn in range(times):
        pair = [place.run(), place.run()]
        ended = _first_to_end(pair)
        wrong = []
        if ended is None:
            both += 1
            wrong.append("both ran")
        else:
            wrong += _not_refused(ended, by=next(each for each in pair if each is not ended))
        for start in pair:
            start.send(signal.SIGTERM)
        for start in pair:
            status = start.wait(seconds=60.0)
            if start is not ended and status != 128 + signal.SIGTERM:
                wrong.append(f"the one that ran: exit {status}: {start.error_text[-300:]}")
        refused += not wrong
        faults += [f"pair {turn}: {fault}" for fault in wrong]
    record = read(place.url)
    if record.count("RUNNING"):
        faults.append(f"{record.count('RUNNING')} trials were left RUNNING")
    return Row(
        id="R11",
        fault="the same study started twice at once",
        promise="the second refuses, naming host and pid",
        tried=times,
        survived=refused,
        figures=f"both ran {both}/{times}",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _first_to_end(pair: list[Start]) -> Start | None:
    until = time.monotonic() + CHOICE_SECONDS
    while time.monotonic() < until:
        for start in pair:
            if start.process.poll() is not None:
                return start
        time.sleep(0.05)
    return None


def _not_refused(loser: Start, *, by: Start) -> list[str]:
    status = loser.wait()
    said = " ".join(loser.error_text.split())
    if status != CONFLICT:
        return [f"exit {status} instead of {CONFLICT}: {loser.error_text[-300:]}"]
    wanted = (f"pid {by.process.pid}", socket.gethostname())
    return [f"the refusal does not name {each}: {said}" for each in wanted if each not in said]


def edited_spaces(place: Place) -> list[Row]:
    """Run a study that is finished with other spaces, then with what may change.

    Args:
        place: Where a study ended by itself; it is left as it was.
    """
    began = time.monotonic()
    before = read(place.url)
    trials = str(before.count("COMPLETE", "PRUNED", "FAIL"))
    faults: list[str] = []
    refused = 0
    for edit in EDITS:
        start = place.run("--trials", trials, "--set", edit)
        status = start.wait()
        said = start.error_text
        key = edit.partition("=")[0].rpartition(".")[2]
        if status == CONFLICT and key in said and "Traceback" not in said:
            refused += 1
        else:
            faults.append(f"{edit}: exit {status}: {said[-400:]}")
    if read(place.url) != before:
        faults.append("the study was changed by runs that were refused")
    taken = 0
    for words in ALLOWED:
        start = place.run("--trials", trials, *words)
        status = start.wait()
        taken += status == 0
        if status != 0:
            faults.append(f"{' '.join(words)}: exit {status}: {start.error_text[-400:]}")
    return [
        Row(
            id="R12",
            fault="the space was edited, then run again",
            promise="refused with what changed; trials, minutes, concurrency may change",
            tried=len(EDITS) + len(ALLOWED),
            survived=refused + taken,
            figures=f"wrongly accepted {len(EDITS) - refused}/{len(EDITS)}",
            faults=tuple(faults),
            seconds=time.monotonic() - began,
        )
    ]
