"""Paths and URLs in a space file: which is allowed where, and never with a secret."""

from __future__ import annotations

from search.space.nodes import Node
from search.space.report import Report
from search.space.scalars import text
from search.space.urls import holds_secret, is_url


def read_path_or_url(node: Node, what: str, report: Report) -> str | None:
    """A path, or a URL without a name, password or query: it is stored with the study."""
    place = text(node, what, report)
    if place is None or not is_url(place) or not holds_secret(place):
        return place
    report.error(
        node.place,
        f"{what} is a URL with credentials or a query in it, which would be stored with the study",
        "the URL without them; credentials in the environment (AWS_PROFILE, ...)",
    )
    return None


def read_path(node: Node, what: str, report: Report) -> str | None:
    """A path of this machine."""
    place = text(node, what, report)
    if place is None or not is_url(place):
        return place
    report.error(node.place, f"{what} is a URL, not a path", _INSTEAD[what])
    return None


_INSTEAD = {
    "data.manifest": "a path to the list; or data: {path: URL} of a folder per class",
    "checkpoints.dir": "a folder that every node has mounted, e.g. {dir: /mnt/shared/studies}",
    "cache.dir": "a folder on every node's own disk, e.g. {dir: /var/tmp/search}",
}
