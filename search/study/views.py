"""Studies as plain values, read from a storage that may be in use.

Opens it so that it cannot be written, makes no file, and imports neither optuna
nor anything heavy: five queries in one transaction, so what is seen is of one
moment. The tables are Optuna's (schema 12); a test holds them against it.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

import sqlalchemy
from sqlalchemy.engine import Connection

from search.problems import did_you_mean, fail
from search.study.records import StudyView
from search.study.rows import READY, trial_view
from search.study.storage import read_engine, redact, storage_faults

_STUDIES = """
    SELECT studies.study_id, study_name, direction FROM studies
    JOIN study_directions ON study_directions.study_id = studies.study_id
"""
_STUDY_ATTRIBUTES = "SELECT study_id, key, value_json FROM study_user_attributes"
_TRIALS = "SELECT trial_id, number, state FROM trials WHERE study_id = :study ORDER BY number"
_TRIAL_ATTRIBUTES = """
    SELECT a.trial_id, a.key, a.value_json FROM trial_user_attributes a
    JOIN trials ON trials.trial_id = a.trial_id WHERE trials.study_id = :study
"""
_CURVES = """
    SELECT v.trial_id, v.step, v.intermediate_value, v.intermediate_value_type
    FROM trial_intermediate_values v
    JOIN trials ON trials.trial_id = v.trial_id WHERE trials.study_id = :study
"""
_TABLES = {
    *("studies", "study_directions", "study_user_attributes"),
    *("trials", "trial_user_attributes", "trial_intermediate_values"),
}
"""All that is read. SQLite gets them one by one: a crash meanwhile leaves some, and no study."""
Wanted: TypeAlias = Callable[[list[str]], list[str] | None]
"""From all names, the one last run first, to those to read; None is all."""
_ODD = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}


def list_studies(url: str) -> tuple[StudyView, ...]:
    """All studies of a storage, the one last run first; none without a storage.

    Raises:
        SearchError: If the storage cannot be opened (74), or the URL is none (2).
    """
    return _read(url, lambda _names: None)


def view(url: str, name: str | None = None) -> StudyView:
    """One study; the one last run where no name is given.

    Raises:
        SearchError: If there is none of that name, or none at all.
    """
    names: list[str] = []

    def wanted(known: list[str]) -> list[str]:
        names.extend(known)
        return known[:1] if name is None else [name]

    found = _read(url, wanted)
    if found:
        return found[0]
    if not names:
        raise fail(f"no studies yet in {redact(url)}", fix="search run spaces/quick.yaml")
    near = did_you_mean(str(name), names)
    raise fail(
        f"no study {name!r} in {redact(url)}",
        fix=f"did you mean {near}?" if near else f"one of: {', '.join(names[:12])}",
    )


def find(url: str, name: str) -> StudyView | None:
    """The study of that name, or None. Makes no file."""
    return next(iter(_read(url, lambda _names: [name])), None)


def _read(url: str, wanted: Wanted) -> tuple[StudyView, ...]:
    """The studies that ``wanted`` picks."""
    with storage_faults(url):
        engine = read_engine(url)
        if engine is None:
            return ()
        try:
            with engine.connect() as connection:
                if not set(sqlalchemy.inspect(connection).get_table_names()) >= _TABLES:
                    return ()
                connection.rollback()
                if connection.dialect.name == "sqlite":
                    connection.execute(sqlalchemy.text("BEGIN"))
                else:
                    connection.execution_options(isolation_level="REPEATABLE READ")
                return _studies(connection, wanted)
        finally:
            engine.dispose()


def _studies(connection: Connection, wanted: Wanted) -> tuple[StudyView, ...]:
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    for study, name, value in _rows(connection, _STUDY_ATTRIBUTES):
        attributes[study][name] = json.loads(value)
    ours = [row for row in _rows(connection, _STUDIES) if READY in attributes[row[0]]]
    ours.sort(key=lambda row: (attributes[row[0]].get("opened", ""), row[0]), reverse=True)
    names = wanted([row[1] for row in ours])
    return tuple(
        _study(connection, study, name, str(direction), attributes[study])
        for study, name, direction in ours
        if names is None or name in names
    )


def _study(
    connection: Connection, study: int, name: str, direction: str, attributes: dict[str, Any]
) -> StudyView:
    maximize = direction == "MAXIMIZE"
    kept: dict[int, dict[str, Any]] = defaultdict(dict)
    for trial, attribute, value in _rows(connection, _TRIAL_ATTRIBUTES, study=study):
        kept[trial][attribute] = json.loads(value)
    curves: dict[int, dict[int, float]] = defaultdict(dict)
    for trial, epoch, reported, kind in _rows(connection, _CURVES, study=study):
        curves[trial][epoch] = _ODD.get(kind, reported)
    return StudyView(
        name=name,
        objective=str(attributes.get("objective", "")),
        direction="maximize" if maximize else "minimize",
        trials=tuple(
            trial_view(number, state, kept[trial], curves[trial], maximize=maximize)
            for trial, number, state in _rows(connection, _TRIALS, study=study)
        ),
        attributes=attributes,
    )


def _rows(connection: Connection, query: str, **values: int) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(sqlalchemy.text(query), values)]
