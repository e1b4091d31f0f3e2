"""What must stay together, and is drawn together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.data.images import ImageRow
from search.data.units import together, units_of

KEYS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=3), max_size=12)


@given(keys=KEYS)
def test_two_are_together_exactly_where_keys_lead_from_one_to_the_other(
    keys: list[list[str]],
) -> None:
    numbers = together(keys)
    for start in range(len(keys)):
        reached, seen = {start}, set(keys[start])
        while more := {
            place for place, own in enumerate(keys) if place not in reached and seen & set(own)
        }:
            reached |= more
            seen |= {key for place in more for key in keys[place]}
        assert {place for place, n in enumerate(numbers) if n == numbers[start]} == reached
    firsts = list(dict.fromkeys(numbers))
    assert firsts == list(range(len(firsts)))


def row(name: str, content: str, group: str = "") -> ImageRow:
    return ImageRow(path=name, label=0, part="test", sha256=content, group=group)


def test_groups_and_copies_are_units_and_images_by_themselves_are_none() -> None:
    assert units_of([row("a", "1"), row("b", "2")]) is None
    found = units_of([row("a", "1", "x"), row("b", "2"), row("c", "3", "x"), row("d", "2")])
    assert found is not None
    assert found.tolist() == [0, 1, 0, 1]
