"""Making a study, finding it again, and refusing what is not the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from search.problems import Exit, SearchError
from search.space.spec import StudySpec
from search.study.opening import StudyFacts, open_in, open_study
from search.study.storage import connect
from search.study.views import find, list_studies

Specify = Callable[..., StudySpec]


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.slow
def test_a_crash_anywhere_in_the_making_is_mended_by_the_next_open(
    tmp_path: Path, specify: Specify, facts: StudyFacts
) -> None:
    whole = open_study(f"sqlite:///{tmp_path}/whole.db", specify(), facts).view()
    survived = 0
    for left in range(200):
        url = f"sqlite:///{tmp_path}/cut{left}.db"
        storage = connect(url)
        count = left

        def cut(*_arguments: object) -> None:
            nonlocal count
            count -= 1
            if count < 0:
                raise Crash

        sqlalchemy.event.listen(storage.engine, "before_cursor_execute", cut)
        try:
            open_in(storage, specify(), facts)
        except Crash:
            storage.engine.dispose()
        else:
            break
        assert [study.name for study in list_studies(url)] in ([], ["study"])
        again = open_study(url, specify(), facts)
        own = {"opened": "", "uuid": ""}
        assert again.view().attributes["uuid"]
        assert again.view().attributes | own == {**whole.attributes, **own}
        again.close()
        survived += 1
    assert survived > 10


def test_a_study_that_was_left_half_made_is_completed(specify: Specify, facts: StudyFacts) -> None:
    storage = optuna.storages.InMemoryStorage()
    made = optuna.create_study(study_name="study", storage=storage, direction="maximize")
    made.set_user_attr("fingerprint", "of an earlier try")
    recorder = open_in(storage, specify(), facts)
    assert recorder.view().attributes["fingerprint"] == facts.fingerprint
    assert recorder.view().attributes["ready"] is True


@pytest.mark.parametrize("how", ["trials", "direction", "attributes"])
def test_another_programs_study_is_refused_and_left_alone(
    specify: Specify, facts: StudyFacts, how: str
) -> None:
    storage = optuna.storages.InMemoryStorage()
    direction = "minimize" if how == "direction" else "maximize"
    theirs = optuna.create_study(study_name="study", storage=storage, direction=direction)
    if how == "trials":
        theirs.ask()
    if how == "attributes":
        theirs.set_user_attr("theirs", 1)
    with pytest.raises(SearchError, match="another program's") as caught:
        open_in(storage, specify(), facts)
    assert caught.value.status is Exit.CONFLICT
    assert caught.value.problems[0].fix == "--name study-2"
    assert "ready" not in theirs.user_attrs


def test_the_name_to_use_instead_is_free(specify: Specify, facts: StudyFacts) -> None:
    storage = optuna.storages.InMemoryStorage()
    for name in ("study", "study-2", "study-3", "run-9"):
        open_in(storage, specify(name=name), facts)
    for name, free in (("study", "study-4"), ("study-2", "study-4"), ("run-9", "run-10")):
        with pytest.raises(SearchError, match=f"--name {free}$"):
            open_in(storage, specify(name=name, seed=1), facts)
    with pytest.raises(SearchError) as caught:
        open_in(storage, specify(name="study", seed=1), facts)
    assert len(caught.value.problems[-1].fix) <= len("--name ") + 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "0" * 64}, r"or split changed: images \(ffffffffffff\) -> images \("),
        ({"backbones": ("small",)}, "the backbones changed: small, large -> small"),
        ({"weights": {"small": "other", "large": "l"}}, "the pretrained weights changed"),
        ({"asked": ("small", "large", "vgg11")}, "the backbones of the file changed"),
    ],
)
def test_other_facts_under_the_same_name_are_refused(
    specify: Specify, facts: StudyFacts, change: dict[str, object], said: str
) -> None:
    storage = optuna.storages.InMemoryStorage()
    open_in(storage, specify(), facts)
    with pytest.raises(SearchError, match=said) as caught:
        open_in(storage, specify(), replace(facts, **change))  # type: ignore[arg-type]
    assert caught.value.status is Exit.CONFLICT
    open_in(storage, specify(), facts)


@pytest.mark.slow
def test_what_may_change_is_stored_anew(
    tmp_path: Path, specify: Specify, facts: StudyFacts
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    open_study(url, specify(trials=5), facts).close()
    open_study(url, specify(trials=50), facts).close()
    view = find(url, "study")
    assert view is not None
    assert view.attributes["space"]["budget"]["trials"] == 50
