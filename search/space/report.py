"""Collects what is wrong with a text, so that all of it is shown in one go."""

from __future__ import annotations

from dataclasses import dataclass, field

from search.problems import Place, Problem, SearchError

MOST = 100
"""A text with more problems than this is given up: it is no space file."""


@dataclass(slots=True)
class Report:
    """Problems found so far, in any order."""

    file: str = ""
    """The space file: its problems come before those of flags."""
    inherited: tuple[str, ...] = ()
    """Files that it extends, the nearest first; their problems come after its own."""
    problems: list[Problem] = field(default_factory=list)
    found: int = 0
    """Errors so far, those that are not said (see :meth:`unreadable`) too."""
    _unreadable: list[Place] = field(default_factory=list)

    def unreadable(self, place: Place) -> None:
        """The value at ``place`` was reported and is not what was written: what
        else seems wrong with it, or with the line's list that it is in, is not said."""
        self._unreadable.append(place)

    def read(self, place: Place) -> bool:
        """Whether the value at ``place`` is what was written."""
        return place not in self._unreadable

    def strict(self, place: Place, *, lenient: bool) -> bool:
        """Whether what can never hold is an error at ``place``.

        An extended file is made for more spaces than this one, so there it never is;
        in this file it is none where flags changed the space (``lenient``).
        """
        return place.file not in self.inherited and not (lenient and place.file == self.file)

    def error(self, place: Place, fact: str, fix: str = "") -> None:
        """Add a problem that stops the command.

        Raises:
            SearchError: With all of them, when there are more than MOST.
        """
        self.found += 1
        if any(_holds(place, spoiled) for spoiled in self._unreadable):
            return
        self.problems.append(Problem(fact=fact, fix=fix, place=place))
        if len(self.errors) >= MOST:
            last = Problem(fact=f"more than {MOST} problems; the rest is not listed", sums_up=True)
            raise SearchError([*self.errors, last])

    def warn(self, place: Place | None, fact: str, fix: str = "") -> None:
        """Add something to know."""
        self.problems.append(Problem(fact=fact, fix=fix, place=place, level="warning"))

    def note(self, place: Place | None, fact: str) -> None:
        """Add what ``plan`` says and ``run`` need not repeat."""
        self.problems.append(Problem(fact=fact, place=place, level="note"))

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What stops the command, in the order of the text."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is shown and passed over, in the order of the text."""
        return self._of("warning", "note")

    def stop(self) -> None:
        """Raise what was found, if anything.

        Raises:
            SearchError: With every error; warnings are not worth reading yet.
        """
        if self.errors:
            raise SearchError(self.errors)

    def _of(self, *levels: str) -> tuple[Problem, ...]:
        order = {file: at for at, file in enumerate((self.file, *self.inherited))}

        def key(problem: Problem) -> tuple[int, int, int]:
            place = problem.place
            if place is None or place.file not in order:
                return (len(order), 0, 0)
            return (order[place.file], place.line, place.column)

        return tuple(sorted((p for p in self.problems if p.level in levels), key=key))


def _holds(place: Place, inner: Place) -> bool:
    return (place.file, place.line) == (inner.file, inner.line) and (
        place.column <= inner.column < place.column + place.length
    )
