"""What workers want a person to know."""

from search.tuning.job import Told
from search.tuning.notes import STORED as STORES
from search.tuning.notes import Notes

STORED = "resnet18 at 32 px, behind block 4 of 5"


def told(*, notes: tuple[str, ...] = (), store: tuple[str, ...] = ()) -> Told:
    return Told(attributes={}, notes=notes, store_notes=store)


def test_a_topic_of_the_stores_is_said_once_whoever_measured_it() -> None:
    notes = Notes()
    first = notes.new(0, told(store=(f"{STORED}: 2 ms an image: stored",)))
    again = notes.new(1, told(store=(f"{STORED}: 3 ms an image: stored", "another: topic")))
    assert [note.text for note in first] == [f"{STORED}: 2 ms an image: stored"]
    assert [note.text for note in again] == ["another: topic"]


def test_that_something_is_stored_is_said_once_in_a_run() -> None:
    notes = Notes()
    said = [
        [note.text for note in notes.new(number, Told(attributes={}, stores=stores))]
        for number, stores in enumerate((False, True, True))
    ]
    assert said == [[], [STORES], []]


def test_what_concerns_a_trial_is_said_each_time_with_its_number() -> None:
    notes = Notes()
    text = "a checkpoint is not used: it is damaged"
    said = [note.text for number in (3, 4) for note in notes.new(number, told(notes=(text,)))]
    assert said == [f"trial 3: {text}", f"trial 4: {text}"]
