"""What a look at the images told, at the place where the text names them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from search.problems import SearchError
from search.space.nodes import Entries
from search.space.sections import SOURCES
from search.space.spec import DataSpec, StudySpec


def look_at_data(
    root: Entries,
    spec: StudySpec,
    samples: Collection[str],
    look: Callable[[DataSpec], SearchError | None],
) -> SearchError | None:
    """What is wrong with the images; what has no place of its own (a manifest's line)
    is placed at their name."""
    data, entry = spec.data, root.get("data")
    named = [key for key in SOURCES if getattr(data, key) is not None]
    if len(named) != 1 or entry is None or (named == ["sample"] and data.sample not in samples):
        return None  # that is told already
    found = look(data)
    source = entry.value.get(named[0]) if isinstance(entry.value, Entries) else None
    if found is None or source is None:
        return found
    place = source.value.place
    return SearchError(
        [
            each if each.place or each.sums_up else replace(each, place=place)
            for each in found.problems
        ],
        found.status,
    )
