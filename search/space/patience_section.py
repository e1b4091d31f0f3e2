"""``patience:`` of a space file: when a trial ends itself."""

from __future__ import annotations

from typing import Literal

from search.space.nodes import Node
from search.space.report import Report
from search.space.scalars import fields_of, one_of
from search.space.sections import at_least_one
from search.space.spec import PATIENCE_METRICS, PatienceSpec


def read_patience(node: Node, report: Report) -> PatienceSpec | None:
    """What must improve, and how long it may fail to."""
    fields = fields_of(node, "patience", report, ("metric", "epochs"), "{metric: loss, epochs: 5}")
    if fields is None:
        return None
    usual = PatienceSpec()
    return PatienceSpec(
        metric=fields.read("metric", _metric, usual.metric),
        epochs=fields.read("epochs", at_least_one, usual.epochs),
    )


def _metric(node: Node, what: str, report: Report) -> Literal["loss", "objective"] | None:
    return one_of(node, what, report, PATIENCE_METRICS)
