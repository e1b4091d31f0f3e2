"""Whether there is enough to learn from: classes, labels, values. Pure.

What is refused here cannot be learnt, or is of another task than the data say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from search.data.labels import is_number, task_line, too_many
from search.data.listing import Found, capped, quantity
from search.problems import Exit, Problem, SearchError
from search.space.spec import Task

FEWEST = 10
"""Images that a regression needs, some of them for each part."""

CLOSEST = 1e-100
"""That two values to train on differ by at least; the square of less may be 0."""


def check_enough(
    images: Iterable[Found],
    named: Iterable[str],
    *,
    where: str,
    task: Task = "multiclass",
    bad: Counter[str] | None = None,
) -> None:
    """There is enough of everything that is to be learnt.

    Of classes: two or more, each with at least 3 images, one of them in train. Of
    values: FEWEST images, some in train, and two different values there.

    Args:
        images: What is left to learn from.
        named: Classes that must be there even without an image.
        where: What the images come from, for the message.
        task: What is learnt.
        bad: Images of each class that were left out.

    Raises:
        SearchError: Exit.DATA, naming every class that lacks something.
    """
    found, named = list(images), tuple(named)
    if not found and (task == "regression" or not named):
        raise _refused([Problem(fact=f"{where} holds no images", fix=_FOLDERS[task])])
    if task == "regression":
        _check_values(found, where)
        return
    if task == "multiclass":
        _check_task(found, where)
    _check_classes(found, named, where, task, bad or Counter())


_FOLDERS = {
    "multiclass": "a folder of images for each class",
    "multilabel": "a line path,label for each image",
    "regression": "a line path,label for each image",
}


def _check_classes(
    images: Sequence[Found], named: Iterable[str], where: str, task: Task, bad: Counter[str]
) -> None:
    counts = Counter(label for image in images for label in _labels(image))
    learnt = Counter(
        label for image in images if image.part in (None, "train") for label in _labels(image)
    )
    labels = sorted({*counts, *named})
    problems = []
    for label in labels:
        if counts[label] < 3:
            left_out = f" ({bad[label]} unreadable)" if bad[label] else ""
            problems.append(
                Problem(
                    fact=f"class {label!r} has {quantity(counts[label], 'image')}{left_out}; "
                    "3 are needed, one for each of train, val and test",
                    fix=_more(3 - counts[label], task),
                )
            )
        elif not learnt[label]:
            problems.append(
                Problem(
                    fact=f"class {label!r} has {quantity(counts[label], 'image')}, none in train",
                    fix="move some of them to train, or remove the class",
                )
            )
    if len(labels) == 1 and task == "multiclass":
        problems.append(
            Problem(
                fact=f"{where} has the single class {labels[0]!r}; nothing can be told apart",
                fix="add images of a second class",
            )
        )
    elif len(labels) < 2 and task == "multilabel":
        which = f"the single class {labels[0]!r}" if labels else "no class"
        problems.append(
            Problem(
                fact=f"{where} names {which}; task multilabel is for two or more",
                fix=f"{task_line('multiclass')}, with two classes: has it, and has it not",
            )
        )
    if problems:
        raise _refused(problems)


def _check_values(images: Sequence[Found], where: str) -> None:
    if len(images) < FEWEST:
        have = quantity(len(images), "image")
        raise _refused(
            [
                Problem(
                    fact=f"{where} has {have} with a value, {FEWEST} are needed",
                    fix=f"add {quantity(FEWEST - len(images), 'image')}",
                )
            ]
        )
    learnt = {image.value for image in images if image.part in (None, "train")}
    numbers = [value for value in learnt if value is not None]
    if len(numbers) > 1 and max(numbers) - min(numbers) < CLOSEST:
        raise _refused(
            [
                Problem(
                    fact=f"the values of {where} to train on differ by "
                    f"{max(numbers) - min(numbers):g}; squared, that is 0",
                    fix="another unit",
                )
            ]
        )
    if len(learnt) < 2:
        value = next(iter(learnt), None)
        fact = (
            f"no image of {where} with a value is in train"
            if value is None
            else f"every image of {where} to train on has the value {value:g}; "
            "nothing can be learnt"
        )
        raise _refused([Problem(fact=fact, fix="images with different values in train")])


def _check_task(images: Sequence[Found], where: str) -> None:
    """The labels are no numbers to predict, and none is several classes in one."""
    labels = sorted({image.label for image in images})
    if too_many(len(labels), len(images)) and all(map(is_number, labels)):
        raise _refused(
            [
                Problem(
                    fact=f"the labels of {where} are {len(labels):,} different numbers on "
                    f"{quantity(len(images), 'image')}: a quantity to predict, not classes"
                    f"{_first(images, labels)}",
                    fix=task_line("regression"),
                )
            ]
        )
    several = [label for label in labels if "|" in label]
    pieces = Counter(piece for label in labels for piece in set(label.split("|")))
    shared = [label for label in several if any(pieces[each] > 1 for each in label.split("|"))]
    whole = any(all(pieces[each] > 1 for each in label.split("|")) for label in shared)
    if len(shared) > 1 or whole:
        raise _refused(
            [
                Problem(
                    fact=f"{quantity(len(shared), 'label')} of {where} are several classes with | "
                    f"between them{_first(images, shared)}; data.task is multiclass",
                    fix=f"{task_line('multilabel')}; or another sign than | in the names",
                )
            ]
        )


def _first(images: Sequence[Found], labels: Sequence[str]) -> str:
    """The first image with one of the labels, e.g. ``, e.g. 'cat|dog' in line 3``."""
    of_these = set(labels)
    first = min((i for i in images if i.label in of_these), key=lambda image: image.line)
    return f", e.g. {first.label!r}{f' in line {first.line}' if first.line else ''}"


def _labels(image: Found) -> tuple[str, ...]:
    return (image.label,) if image.labels is None else image.labels


def _more(count: int, task: Task) -> str:
    """What can be done for a class that lacks so many images."""
    out = "its folder, or its lines" if task == "multiclass" else "out of its lines"
    return f"add {quantity(count, 'image')} to it; or leave the class out ({out})"


def _refused(problems: list[Problem]) -> SearchError:
    return SearchError(capped(problems), Exit.DATA)
