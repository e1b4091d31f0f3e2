"""What ``weights:`` says of backbones, held against the space. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from search.problems import Place
from search.space.domains import Space
from search.space.nodes import Entries, Entry, Node, listed
from search.space.placed import Known
from search.space.points import values
from search.space.report import Report


def check_weights(
    node: Node | None, space: Space, known: Known, report: Report, *, lenient: bool
) -> None:
    """Warn of weights for a backbone that no trial can have.

    Args:
        lenient: Whether flags changed the space: what the file says may be void then.
    """
    if "backbone" in space:
        branches = space["backbone"].branches
        used = {str(each) for branch in branches for each in values(branch.domain) or ()}
    else:
        used = {str(known.settings["backbone"].default)} if "backbone" in known.settings else set()
    for key in ("files", "tags"):
        for entry in _entries(node, key):
            sound = entry.name in known.sizes and not known.sizes[entry.name].refused
            if not sound or entry.name in used:
                continue
            if report.strict(entry.key.place, lenient=lenient):
                report.warn(
                    entry.key.place,
                    f"weights.{key}: {entry.name} is no backbone of this space, "
                    f"which has {listed(sorted(used))}",
                    f"remove it, or add it: backbone: [..., {entry.name}]",
                )


def places_of_files(node: Node | None) -> Mapping[str, Place]:
    """Where ``weights.files`` names the file of each backbone."""
    found = {}
    for entry in _entries(node, "files"):
        named = entry.value.get("file") if isinstance(entry.value, Entries) else None
        found[entry.name] = (named or entry).value.place
    return found


def _entries(node: Node | None, key: str) -> tuple[Entry, ...]:
    section = node.get(key) if isinstance(node, Entries) else None
    if section is None or not isinstance(section.value, Entries):
        return ()
    return section.value.entries
