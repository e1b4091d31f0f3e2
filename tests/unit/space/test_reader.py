"""Text -> nodes: YAML 1.2's meaning, and hostile texts refused in no time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from search.problems import SearchError
from search.space.nodes import Entries, Scalar, Source
from search.space.reader import MAX_CHARACTERS, decode, read
from search.space.report import Report


def value_of(text: str) -> object:
    report = Report("f.yaml")
    node = read(Source("f.yaml", f"key: {text}"), report)
    assert isinstance(node, Entries)
    assert not report.problems
    scalar = node.entries[0].value
    assert isinstance(scalar, Scalar)
    return scalar.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("no", "no"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'null'", "null"),
        ('"12"', "12"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("a b c  # comment", "a b c"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


def test_an_alias_is_the_value_it_names() -> None:
    node = read(Source("f", "a: &x [1, 2]\nb: *x\n"), Report())
    assert isinstance(node, Entries)
    assert node.entries[0].value == node.entries[1].value


def test_places_point_at_the_text_whatever_the_line_breaks() -> None:
    for end in ("\n", "\r\n", "\r"):
        source = Source("f", end.join(["# α", "space:", "  lr: [1, 2]  # c", ""]))
        node = read(source, Report())
        assert isinstance(node, Entries)
        inner = node.entries[0].value
        assert isinstance(inner, Entries)
        place = inner.entries[0].value.place
        assert (place.line, place.column, place.length) == (3, 7, 6)
        assert place.text == "  lr: [1, 2]  # c"


def test_a_place_over_several_lines_ends_with_its_first() -> None:
    node = read(Source("f", "a: [1,  \n  2]\n"), Report())
    assert isinstance(node, Entries)
    assert (node.entries[0].value.place.column, node.entries[0].value.place.length) == (4, 3)


def test_a_password_is_never_in_a_place() -> None:
    node = read(Source("f", "storage: postgresql://me:s3cret@host/db\n"), Report())
    assert isinstance(node, Entries)
    place = node.entries[0].value.place
    assert place.text == "storage: postgresql://me:******@host/db"


HOSTILE = {
    "nested_lists": ("[" * 5_000, "nested more than"),
    "nested_lists_on_lines": ("[\n" * 5_000, "nested more than"),
    "nested_mappings": ("{a: " * 5_000, "nested more than"),
    "nested_blocks": ("- " * 5_000, "nested more than"),
    "nested_keys": ("? " * 5_000, "nested more than"),
    "billion_laughs": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n",
        "holds more than",
    ),
    "many_aliases": ("a: &a 1\nb: [" + "*a, " * 200 + "]", "aliases"),
    "alias_of_itself": ("a: &a [*a]", "refers to what it is part of"),
    "unknown_alias": ("a: *nothing", "not defined"),
    "many_values": ("a: [" + "1," * 30_000 + "1]", "holds more than"),
    "too_long": ("# " + "x" * MAX_CHARACTERS, "more than 100,000 characters"),
    "huge_number": ("a: " + "9" * 5_000, "does not fit 64 bits"),
    "too_big_for_64_bits": ("a: 9223372036854775808", "does not fit 64 bits"),
    "infinity": ("a: .inf", "not a finite number"),
    "negative_infinity": ("a: -.INF", "not a finite number"),
    "not_a_number": ("a: .nan", "not a finite number"),
    "overflow": ("a: 1e999", "too large"),
    "duplicate_key": ("a: 1\na: 2", "given twice; the first is on line 1"),
    "two_documents": ("a: 1\n---\nb: 2", "a second document"),
    "empty": ("", "the file is empty"),
    "only_comments": ("# nothing\n\n", "the file is empty"),
    "null_document": ("null", "the file is empty"),
    "a_list": ("[1, 2]", "not a mapping"),
    "a_word": ("hello", "not a mapping"),
    "nul": ("a: \0", "U+0000"),
    "escape_code": ("a: \x1b[2J", "U+001B"),
    "lone_surrogate": ("a: \udc80", "U+DC80"),
    "escaped_surrogate": (r'a: "\ud800"', "surrogate"),
    "escape_beyond_unicode": (r'a: "\UFFFFFFFF"', "not YAML"),
    "tag": ("a: !!python/object:os.system x", "a tag"),
    "open_list": ("a: [1, 2", "expected ',' or ']'"),
    "open_quote": ("a: 'x", "end of stream"),
    "tab_indent": ("a:\n\tb: 1", "cannot start any token"),
    "two_colons": ("a: b: c", "mapping values are not allowed"),
    "list_as_key": ("? [a]\n: 1", "a key must be a word"),
    "directive": ("%YAML 9.9\n---\na: 1", ""),
    "open_brackets_and_braces": ("[{" * 3_000, "nested more than"),
    "one_long_line": ("a: " + "x " * 45_000, "no key"),
    "many_anchors": ("&a" * 40_000, ""),
    "many_unknown_keys": ("\n".join(f"k{i}: 1" for i in range(4_000)), "more than 100"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "fact"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_located_and_refused_within_a_second(
    text: str, fact: str, problems: Callable[..., list[str]]
) -> None:
    start = time.process_time()
    found = problems(text)
    assert time.process_time() - start < 1
    assert found
    assert fact in found[0] or any(fact in one for one in found)


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        pytest.param(b"a: \xff", 1, 4, id="first_line"),
        pytest.param("é: 1\nb: ".encode() + b"\x80", 2, 4, id="after_other_characters"),
        pytest.param("a: ö".encode("latin-1"), 1, 4, id="latin_1"),
        pytest.param("a: 1".encode("utf-16"), 1, 1, id="utf_16"),
    ],
)
def test_bytes_that_are_not_utf_8_are_located(data: bytes, line: int, column: int) -> None:
    with pytest.raises(SearchError, match="is not UTF-8") as caught:
        decode(data, file="f.yaml")
    place = caught.value.problems[0].place
    assert place is not None
    assert (place.line, place.column) == (line, column)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert decode(b"\xef\xbb\xbfa: 1", file="f") == "a: 1"


def test_a_long_file_cut_within_a_character_is_still_too_long() -> None:
    text = decode(("a" + "€" * 400_000).encode()[:1_000_000], file="f")
    assert len(text) > MAX_CHARACTERS
    assert len(decode("😀".encode() * 300_000, file="f")) > MAX_CHARACTERS


def test_syntax_mistakes_are_located_with_a_fix(problems: Callable[..., list[str]]) -> None:
    assert problems("space: {lr: 1\nfirst: []") == [
        "2:6: expected ',' or '}', but got ':' | close the mapping with } | :"
    ]
