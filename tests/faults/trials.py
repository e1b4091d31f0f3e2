"""R13, R16, R17 and R9: trials that go wrong, files that are damaged, a disk that is full."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.faults.database import read
from tests.faults.judge import EPOCH, judge, shown_by
from tests.faults.kills import changed
from tests.faults.place import Place
from tests.faults.row import Row

EPOCHS = 60
EXPLOSIVE = (
    *("space.lr={float: [9.0, 10.0]}", "space.weight_decay=10.0"),
    *("space.batch_size=1", "space.unfreeze_depth=0"),
)
"""Every step multiplies the weights by 1 - 10 * 10: NaN after some twenty steps."""
KEPT_SECONDS = 30.0


def all_diverge(folder: Path) -> list[Row]:
    """A learning rate at which every loss becomes NaN: R13 and R16 of one run."""
    began = time.monotonic()
    place = Place(folder, trials=12, epochs=3)
    start = place.run(*(word for each in EXPLOSIVE for word in ("--set", each)))
    status = start.wait()
    record = read(place.url)
    faults = list(judge(shown_by(place.starts), record, ended=True).faults)
    diverged = sum(t.attributes.get("reason") == "diverged" for t in record.trials)
    stops = []
    if status != 5:
        stops.append(f"exit {status}: {start.error_text[-500:]}")
    if len(record.trials) != 5:
        stops.append(f"{len(record.trials)} trials were started")
    if "most often: diverged" not in " ".join(start.error_text.split()):
        stops.append("the commonest reason is not said")
    seconds = time.monotonic() - began
    zombies = record.count("RUNNING", "WAITING")
    return [
        Row(
            id="R13",
            fault="NaN or infinite loss",
            promise="FAIL, reason diverged; the sampler goes on",
            tried=len(record.trials) or 1,
            survived=diverged,
            figures=f"zombies {zombies}",
            faults=tuple(faults),
            seconds=seconds,
        ),
        Row(
            id="R16",
            fault="every trial fails",
            promise="stops after 5 with the commonest reason, exit 5",
            tried=1,
            survived=int(not stops),
            figures=f"stopped after {len(record.trials)}",
            faults=tuple(stops),
            seconds=seconds,
        ),
    ]


def damaged_checkpoints(folder: Path) -> Row:
    """Kill, damage the trial's last checkpoint, go on; the curve is the undisturbed one."""
    began = time.monotonic()
    undisturbed = Place(folder / "undisturbed", trials=2, epochs=EPOCHS, scheduler="none")
    first = undisturbed.run()
    faults = [] if first.wait() == 0 else [f"undisturbed: {first.error_text[-400:]}"]
    place = Place(folder / "damaged", trials=1, epochs=EPOCHS, scheduler="none")
    checkpoints = place.study / "trials" / "00000"
    foreign = undisturbed.study / "trials" / "00001" / "best.safetensors"  # all that stays
    kinds = ("truncated", "flipped", "foreign", "empty")
    survived = 0
    for kind in (*kinds, ""):
        start = place.run()
        if kind:
            start.wait_for(EPOCH.pattern, count=4)
            start.kill()
            start.left_after(5.0)
        wrong = []
        if not kind and start.wait() != 0:
            wrong.append(f"exit {start.wait()}: {start.error_text[-400:]}")
        wrong += judge(shown_by(place.starts), read(place.url), ended=not kind).faults
        previous = len(place.starts) - 2
        if previous >= 0 and "a checkpoint is not used" not in start.text:
            wrong.append(f"{kinds[previous]}: it is not said that a checkpoint is not used")
        if previous >= 0:
            survived += not wrong
        faults += wrong
        if kind:
            damage(checkpoints / "last.safetensors", kind, foreign)
    if read(place.url)[0].table_row() != read(undisturbed.url)[0].table_row():
        faults.append("the curve is not that of the undisturbed run: bad bytes were loaded")
    return Row(
        id="R17",
        fault="truncated, flipped, foreign, empty checkpoint of a real run",
        promise="refused; the one before is used, and that is said",
        tried=len(kinds),
        survived=survived,
        figures=f"bad bytes loaded {sum('bad bytes' in fault for fault in faults)}",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def damage(file: Path, kind: str, foreign: Path) -> None:
    """Make a checkpoint into something that must not be loaded."""
    content = bytearray(file.read_bytes())
    if kind == "truncated":
        file.write_bytes(content[: len(content) * 2 // 3])
    elif kind == "flipped":
        content[len(content) * 3 // 4] ^= 1
        file.write_bytes(content)
    elif kind == "foreign":
        shutil.copy(foreign, file)
    else:
        file.write_bytes(b"")


def full_disk(folder: Path) -> Row | None:
    """The disk of studies fills up in mid-run, and has room again later.

    A small file system in memory; None where this process may not mount one.
    """
    began = time.monotonic()
    place = Place(folder, trials=8, epochs=200)
    disk = folder / "studies"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=760m", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        return None
    try:
        faults = _filled(place, disk)
        half = _half_written(disk)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
    return Row(
        id="R9",
        fault="disk full in mid-run (database and checkpoints)",
        promise="a message with path and free bytes; goes on once there is room",
        tried=1,
        survived=int(not faults),
        figures=f"half-written files {half}",
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _filled(place: Place, disk: Path) -> list[str]:
    start = place.run()
    start.wait_for(EPOCH.pattern, count=3)
    balloon = disk / "balloon"
    with balloon.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
    status = start.wait(seconds=KEPT_SECONDS * 4)
    said = " ".join((start.text + start.error_text).split())
    faults = []
    if status not in (0, 5, 74):
        faults.append(f"exit {status}: {start.error_text[-400:]}")
    if "Traceback" in start.error_text:
        faults.append("a traceback was printed")
    if str(disk) not in said and "studies/" not in said:
        faults.append(f"no path is named: {said[-300:]}")
    if "free" not in said:
        faults.append(f"no free bytes are named: {said[-300:]}")
    start.left_after(5.0)
    balloon.unlink()
    before = read(place.url)
    settled = before.count("COMPLETE", "PRUNED", "FAIL")
    again = place.run("--trials", str(settled + 2))
    if again.wait() != 0:
        faults.append(f"with room again: exit {again.wait()}: {again.error_text[-400:]}")
    after = read(place.url)
    if after.count("COMPLETE", "PRUNED") != before.count("COMPLETE", "PRUNED") + 2:
        faults.append(f"with room again: {[trial.state for trial in after.trials]}")
    return [
        *faults,
        *changed(before, after),
        *judge(shown_by(place.starts), after, ended=True).faults,
    ]


def _half_written(disk: Path) -> int:
    """Checkpoints that do not load."""
    from search.training.checkpoint import read as read_checkpoint
    from search.training.faults import CheckpointUnusable

    half = 0
    for file in disk.rglob("trials/*/*.safetensors"):
        try:
            read_checkpoint(file.parent, file.stem)  # type: ignore[arg-type]
        except CheckpointUnusable:
            half += 1
    return half
