"""What a study's database holds, read with plain SQL past the product's own code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row of ``trials`` with what belongs to it."""

    number: int
    state: str
    """Optuna's: COMPLETE, PRUNED, FAIL, RUNNING, WAITING."""
    curve: Mapping[int, float | None] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        return self.state in ("COMPLETE", "PRUNED", "FAIL")

    def table_row(self) -> tuple[Any, ...]:
        """What must not depend on crashes: no times, no memory, no host."""
        kept = ("point", "why", "best_value", "best_epoch", "epochs", "reason", "first")
        attributes = {name: self.attributes[name] for name in kept if name in self.attributes}
        metrics = self.attributes.get("last", {}).get("metrics")
        return (self.number, self.state, dict(self.curve), self.values, attributes, metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that one database holds."""

    trials: tuple[Trial, ...] = ()
    study: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, number: int) -> Trial:
        return next(trial for trial in self.trials if trial.number == number)

    @property
    def epochs(self) -> dict[tuple[int, int], float | None]:
        return {(t.number, e): value for t in self.trials for e, value in t.curve.items()}

    def count(self, *states: str) -> int:
        return sum(trial.state in states for trial in self.trials)

    def table(self) -> list[tuple[Any, ...]]:
        """The final table, and what the exported model reached."""
        results = dict(self.study.get("results") or {})
        # The times that the test set was opened grow with a crash in between, rightly.
        for name in ("created", "seconds", "versions", "folder", "opened"):
            results.pop(name, None)
        return [*(trial.table_row() for trial in self.trials), ("results", _settled(results))]


def _settled(value: Any) -> Any:
    """A document without what a clock says."""
    if isinstance(value, dict):
        volatile = ("seconds", "created", "images_per_second", "peak_memory_mb", "milliseconds")
        return {k: _settled(v) for k, v in value.items() if k not in volatile}
    return [_settled(each) for each in value] if isinstance(value, list) else value


def read(url: str) -> Record:
    """The record at ``url``; empty while there is no database, or no table in it."""
    engine = sqlalchemy.create_engine(_read_only(url), poolclass=sqlalchemy.pool.NullPool)
    try:
        with engine.connect() as connection:
            return _read(connection)
    except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.ProgrammingError):
        return Record()
    finally:
        engine.dispose()


def _read_only(url: str) -> str:
    if not url.startswith("sqlite:"):
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
    file = Path(url.removeprefix("sqlite:///"))
    return f"sqlite:///file:{file}?mode=ro&uri=true"


def _read(connection: sqlalchemy.Connection) -> Record:
    def rows(query: str) -> list[Any]:
        return list(connection.execute(sqlalchemy.text(query)))

    curves: dict[int, dict[int, float | None]] = {}
    for trial, step, value in rows(
        "select trial_id, step, intermediate_value from trial_intermediate_values order by step"
    ):
        curves.setdefault(trial, {})[step] = value
    attributes: dict[int, dict[str, Any]] = {}
    for trial, key, text in rows("select trial_id, key, value_json from trial_user_attributes"):
        attributes.setdefault(trial, {})[key] = json.loads(text)
    values: dict[int, tuple[float, ...]] = {
        trial: (value,) for trial, value in rows("select trial_id, value from trial_values")
    }
    trials = tuple(
        Trial(
            number=number,
            state=state,
            curve=curves.get(trial, {}),
            values=values.get(trial, ()),
            attributes=attributes.get(trial, {}),
        )
        for trial, number, state in rows(
            "select trial_id, number, state from trials order by number"
        )
    )
    study = {
        key: json.loads(text)
        for key, text in rows("select key, value_json from study_user_attributes")
    }
    return Record(trials=trials, study=study)
