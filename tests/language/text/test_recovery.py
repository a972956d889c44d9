"""Mistakes of syntax that are stepped over: the others are told too, and what is right is read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.language.text.recovery import MOST_SLIPS
from specforge.language.text.source import Source, decode_source, parse_source

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

from specforge.language.messages.diagnostics import SpecError


def read(text: str) -> Source:
    return parse_source(decode_source(text.encode(), "spec.toml"), "spec", Path(), recover=True)


def places(text: str) -> list[str]:
    """Return where reading found fault, whether it came to the end or not."""
    try:
        faults = read(text).faults
    except SpecError as error:
        faults = error.diagnostics
    return [str(fault.place).removeprefix("spec.toml:") for fault in faults]


def test_a_wrong_value_counts_as_given_and_wrong() -> None:
    source = read("a = x\nb = 1\n[t]\nc = 1,0 # why\nd = 2\n")

    assert source.data == {"a": None, "b": 1, "t": {"c": None, "d": 2}}
    assert source.faulty == {("a",), ("t", "c")}
    assert [str(fault.place) for fault in source.faults] == ["spec.toml:1:5", "spec.toml:4:5"]


def test_positions_and_lines_are_those_of_the_text() -> None:
    source = read("first = yes\nsecond = 'b' # é\n")
    span = source.index.value(("second",))

    assert span is not None
    assert source.text.text[span.start : span.end] == "'b'"
    assert source.faults[0].labels[0].source.line(1) == "first = yes"


def test_of_a_key_that_stands_twice_the_first_counts() -> None:
    assert read("a = 1\na = 2\nb = 3\n").data == {"a": 1, "b": 3}


def test_a_value_that_is_none_of_a_spec_is_told_beside_a_slip() -> None:
    source = read("a = yes\nb = nan\nc = 2024-01-01\n")

    assert [fault.code for fault in source.faults] == ["SF104", "SF103", "SF103"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = x\nb = y\nc = z\n", ["1:5", "2:5", "3:5"]),
        ("a = x\n[t\nb = y\n", ["1:5", "2:3"]),  # a header moves keys: what follows is left alone
        ("a = [1,\nb = 2\nc = z\n", ["1:5"]),  # an open array reaches over lines
        ("a = [x,\ny]\nb = z\n", ["1:6"]),
        ("a = { b = x,\n c = y }\n", ["1:11"]),
        ("a = [\nb = x\n]\n", ["1:5"]),  # the statement begins inside of something
        ("a = '''x\nb = y\n", ["1:5"]),
        ('a = "x\nb = y\n', ["1:5", "2:5"]),
        ("a: 1\nb = y\n", ["1:2"]),
        ("a=x\nb=y\n", ["1:3"]),  # no room for another value
        ("a = 1\n[t]\n[t]\nb = y\n", ["3:1"]),
        ("a = (1, [2)\nb = y\n", ["1:5"]),
    ],
)
def test_reading_goes_on_where_that_is_safe(text: str, expected: list[str]) -> None:
    assert expected == places(text)


def test_slips_are_capped() -> None:
    assert len(places("".join(f"k{number} = yes\n" for number in range(100)))) == MOST_SLIPS + 1


@given(
    st.lists(st.sampled_from(["yes", "1", "'x'", "1,0", "[1, 2]", "{ a = 1 }", "x y", "0x", "“a”", "true"]), max_size=9)
)
def test_each_wrong_value_is_told_once_and_each_right_one_is_read(values: list[str]) -> None:
    """Of statements on lines of their own, those that are TOML alone are read, and the others are each one fault."""
    lines = [f"k{number} = {value}" for number, value in enumerate(values)]
    right: dict[str, object] = {}
    wrong = []
    for number, line in enumerate(lines, start=1):
        try:
            right |= tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            wrong.append(number)

    source = read("\n".join(lines))

    assert {key: value for key, value in source.data.items() if value is not None} == right
    assert [fault.place.line for fault in source.faults if fault.place] == wrong
