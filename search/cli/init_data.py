"""Which images ``search init`` looks at, and what is to be learnt of them: asked for, or
guessed, which is said where it leads to a refusal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from search.cli.paths import data_source
from search.data.csv_manifest import written_labels
from search.data.folder import SUFFIXES
from search.data.labels import mostly_numbers, task_line, task_of
from search.data.read import absolute
from search.problems import Problem, SearchError, did_you_mean, fail
from search.space.spec import TASKS, DataSpec
from search.space.urls import holds_secret, is_url

SAMPLE = "solar-cells"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for, as typed; None leaves it to the images."""

    data: str | None
    preset: str | None
    task: str | None
    unit: str | None


def data_of(folder: Path, data: str | None) -> DataSpec:
    """The images meant: those that were named, those of DIR, else the sample."""
    if data is not None:
        kind, place = data_source(data)
        if not is_url(place):
            place = str(Path(place).absolute())
        elif holds_secret(place):
            raise fail(
                "--data is a URL with credentials or a query in it",
                fix="the URL without them; credentials in the environment (AWS_PROFILE, ...)",
            )
        elif kind == "manifest":
            raise fail(
                f"--data {place} is a manifest at a URL",
                fix="a path to the list; or the URL of a folder per class",
            )
        return DataSpec(manifest=place) if kind == "manifest" else DataSpec(path=place)
    held = _holds_images(folder, deep=2)
    return DataSpec(path=str(folder.absolute())) if held else DataSpec(sample=SAMPLE)


def _holds_images(folder: Path, *, deep: int) -> bool:
    """Whether there are images in folders of ``folder``, at most so deep."""
    try:
        for each in folder.iterdir():
            if each.name.startswith(".") or not each.is_dir():
                continue
            if any(one.suffix.lower() in SUFFIXES for one in each.iterdir()):
                return True
            if deep > 1 and _holds_images(each, deep=deep - 1):
                return True
    except OSError:
        return False
    return False


def with_task(spec: DataSpec, wish: Wish) -> DataSpec:
    """The data with the task that was asked for, or that a manifest's labels look like,
    and its unit."""
    task = next((each for each in TASKS if each == wish.task), None)
    if task is None and wish.task is not None:
        fix = did_you_mean(wish.task, TASKS) or f"one of {', '.join(TASKS)}"
        raise fail(f"--task {wish.task}: there is no such task", fix=fix)
    if task is None and spec.manifest is not None:
        task = task_of(_labels(spec.manifest))
    task = task or "multiclass"
    if task != "multiclass" and spec.path is not None:
        fact = f"--task {task}: a folder gives each image one class"
        raise fail(fact, fix="--data FILE.csv with the columns path,label")
    if wish.unit and task != "regression":
        fact = f"--unit {wish.unit} is the unit of a number, the task is {task}"
        raise fail(fact, fix="--task regression; or without --unit")
    return replace(spec, task=task, unit=wish.unit or "")


def with_guess(error: SearchError, spec: DataSpec, wish: Wish) -> SearchError:
    """A refusal of the images with what can be typed here, there being no space file yet;
    and where the task was guessed, that it was."""
    problems = [replace(each, fix=_typed(each.fix)) for each in error.problems]
    if wish.task is None and spec.manifest is not None:
        other = "multiclass"
        if spec.task == "multiclass":
            other = "regression" if mostly_numbers(_labels(spec.manifest)) else ""
        if other:
            fact = f"the task was guessed from the labels: {spec.task}"
            problems.append(Problem(fact=fact, fix=f"--task {other}", level="note"))
    return SearchError(problems, error.status)


def _typed(fix: str) -> str:
    for task in TASKS:
        fix = fix.replace(task_line(task), f"--task {task}")
    return fix


def _labels(manifest: str) -> tuple[str, ...]:
    return written_labels(absolute(manifest, Path.cwd()), name=manifest)
