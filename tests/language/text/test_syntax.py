"""Texts that are not TOML: what people typed is named, with what to type instead."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.language.messages.diagnostics import Diagnostic, SpecError, render
from specforge.language.text.source import decode_source, parse_source

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib


def slip(text: str) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        parse_source(decode_source(text.encode(), "spec.toml"), "spec", Path())
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "SF104"
    return diagnostic


@pytest.mark.parametrize(
    ("text", "place", "label", "help_text"),
    [
        ("a = 100,000", "1:5", "digits are grouped by `_`", "write `100_000`"),
        ("a = 1 000 000", "1:5", "digits are grouped by `_`", "write `1_000_000`"),
        ("a = 0,1", "1:5", "a number has a decimal point", "write `0.1`"),
        ("a = 100k", "1:5", "a number is written out", "write `100_000`"),
        ("a = 1.5M", "1:5", "a number is written out", "write `1_500_000`"),
        ("a = 007", "1:5", "a number has no leading zeros", "write `7`"),
        ("a = 1.", "1:5", "a digit follows the decimal point", "write `1.0`"),
        ("a = 10 minutes", "1:5", "text needs quotes", 'write `"10 minutes"`'),
        ("a = my run", "1:5", "text needs quotes", 'write `"my run"`'),
        ("a = [x, y]", "1:6", "text needs quotes", 'write `"x"`'),
        ("a = adam # why", "1:5", "text needs quotes", 'write `"adam"`'),
        ("a = train/de'", "1:5", "text needs quotes", 'write `"train/de"`'),
        ("a = yes", "1:5", "truth values are `true` and `false`", "write `true`"),
        ("a = off", "1:5", "truth values are `true` and `false`", "write `false`"),
        ("a = null", "1:5", "there is no null", "leave the key out: then it has its default"),
        ("a = ${lr}", "1:5", "a spec has no variables", "write the value itself"),
        ("a = dict(x=1)", "1:5", "a spec has no code", "write the value itself"),
        ("a = “x”", "1:5", 'strings stand in straight quotes: `"`', 'write `"x"`'),
        ("a = (1, 2)", "1:5", "arrays stand in square brackets", "write `[1, 2]`"),
        ("a == 1", "1:4", "one `=` is enough", None),
        ("a = # nothing", "1:5", "", None),
        ("a = 1;", "1:6", "a statement ends with its line, without `;`", None),
        ("a = 1 // one", "1:7", "a comment begins with `#`", None),
        ("; one", "1:1", "a comment begins with `#`", None),
        (
            "a = 'x'y'",
            "1:8",
            "the string ended before this",
            'a quote inside a string in double quotes is written `\\"`',
        ),
        ("a: 1", "1:2", "a key and its value are joined by `=`", "write `a = 1`"),
        ("a: b", "1:2", "a key and its value are joined by `=`", 'write `a = "b"`'),
        ("--max-updates 10", "1:15", "a key and its value are joined by `=`", "write `max-updates = 10`"),
        ("train:\n  a: 1", "1:6", "a table has a header", "write `[train]`"),
        ("- a: 1", "1:3", "this looks like YAML", None),
        ("alone", "1:6", "no `=` and no value follow", None),
        ('{"a": 1}', "1:1", "this looks like JSON", None),
        ("[train", "1:7", "`]` is expected", "write `[train]`"),
        ("[[ train ]", "1:10", "`]]` is expected", "write `[[train]]`"),
        ("[train]: x", "1:8", "a header stands alone on its line", None),
        ("a = 'x\nb = 1", "1:5", "", None),
        ('a = "x\nb = 1', "1:5", '`"` is missing behind it', None),
        ("a = 'x' # it's\nb = \"y", "2:5", "", None),
        ('a = "C:\\data"', "1:8", "", "write `\\\\` for a backslash, or put the text in single quotes: `'C:\\data'`"),
        ('a = "\x07"', "1:6", "", "in a string it is written `\\u0007`"),
        ("a = [1 2]", "1:8", "a `,` stands between elements", None),
        ("a = [1,\nb = 2", "1:5", "opened here", None),
        ("a = 1\rb = 2", "1:6", "lines end in LF, or CR LF", None),
    ],
)
def test_a_slip_is_named(text: str, place: str, label: str, help_text: str | None) -> None:
    found = slip(text)

    assert (f"spec.toml:{place}", label, help_text) == (str(found.place), found.labels[0].text, found.help)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("a = 1\nb = 2\na = 3", "1:1"),
        ("[t]\na = 1\na = 2 # again", "2:1"),
        ("[t]\n[u]\n[t]", "1:2"),
        ("[t]\na.b = 1\n[t.a]", "2:1"),
        ("t = { a = 1 }\n[t]", "1:1"),
        ("t = { a = 1 }\nt.b = 2", "1:1"),
        ("x = 1\n[x.y]", "1:1"),
        ("[t]\n[[t]]", "1:2"),
    ],
)
def test_what_stands_twice_is_shown_twice(text: str, first: str) -> None:
    found = slip(text)

    assert [label.primary for label in found.labels] == [True, False]
    assert str(found.labels[1].place) == f"spec.toml:{first}"


def test_a_key_twice_inside_of_something_is_shown_once() -> None:
    assert len(slip("a = [\n{ b = 1,\n b = 2 }]").labels) == 1


@given(
    st.lists(
        st.sampled_from([*"ab=.,[]{}\"'\n #:;-_10\\(“\r\t", '"""', "'''", "true", "a = 1\n", "[t]\n"]), max_size=30
    )
)
def test_every_text_is_toml_or_one_diagnostic_that_can_be_shown(parts: list[str]) -> None:
    text = "".join(parts).replace("\r\n", "\n")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert render([slip(text)]).startswith("error[SF104]: not TOML: ")


@pytest.mark.parametrize(
    "text",
    [
        "a = 100,000",
        "a = 0,1",
        "a = 100k",
        "a = 007",
        "a = 1.",
        "a = my run",
        "a = yes",
        "a = “x”",
        "a = (1, 2)",
        "a: 1",
        "[train",
    ],
)
def test_what_is_to_be_written_is_toml(text: str) -> None:
    help_text = slip(text).help
    assert help_text is not None
    written = help_text.removeprefix("write `").removesuffix("`")

    assert tomllib.loads(written if "[t" in written or " = " in written else f"a = {written}")
