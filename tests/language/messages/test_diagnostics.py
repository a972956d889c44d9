"""The drawing of diagnostics: carets under what is meant, nothing unsafe on the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.foundation.errors import EnvironmentFaultError, ExitCode, Place
from specforge.language.messages.diagnostics import Diagnostic, Label, SpecError, in_order, render, render_error
from specforge.language.text.spans import SourceText, Span


def label(source: SourceText, words: str, text: str = "", *, primary: bool = True) -> Label:
    start = source.text.index(words)
    return Label(source, Span(start, start + len(words)), text, primary)


SPEC = SourceText("specs/wmt.toml", "[model]\nembed_dim = 500\n\n# attention\nheads = 8\ndroput = 0.3\n")


def test_one_label_with_note_and_help() -> None:
    diagnostic = Diagnostic(
        "SF101",
        "unknown key `droput` in [model]",
        (label(SPEC, "droput", "did you mean `dropout`?"),),
        ("[model] is `transformer` (built in)",),
        "`specforge components model transformer` lists its keys",
    )

    assert render([diagnostic]) == (
        "error[SF101]: unknown key `droput` in [model]\n"
        " --> specs/wmt.toml:6:1\n"
        "  |\n"
        "6 | droput = 0.3\n"
        "  | ^^^^^^ did you mean `dropout`?\n"
        "  = note: [model] is `transformer` (built in)\n"
        "  = help: `specforge components model transformer` lists its keys\n"
        "\n"
        "error: 1 error in specs/wmt.toml"
    )


def test_two_labels_apart_and_in_another_file() -> None:
    base = SourceText("base.toml", "\n" * 9 + "dropout = 0.1")
    diagnostic = Diagnostic(
        "SF301",
        "two values disagree",
        (
            label(SPEC, "500", "this width"),
            label(SPEC, "8", "does not split evenly", primary=False),
            label(base, "0.1", "nor this", primary=False),
        ),
        severity="warning",
    )

    assert render([diagnostic]) == (
        "warning[SF301]: two values disagree\n"
        "  --> specs/wmt.toml:2:13\n"
        "   |\n"
        " 2 | embed_dim = 500\n"
        "   |             ^^^ this width\n"
        "...\n"
        " 5 | heads = 8\n"
        "   |         - does not split evenly\n"
        "  ::: base.toml:10:11\n"
        "   |\n"
        "10 | dropout = 0.1\n"
        "   |           --- nor this\n"
        "\n"
        "warning: 1 warning in specs/wmt.toml"
    )


def test_two_labels_on_one_line_get_a_line_each() -> None:
    source = SourceText("a.toml", "m = { d = 500, h = 8 }")
    diagnostic = Diagnostic(
        "SF301", "no", (label(source, "500", "this"), label(source, "8", "and this", primary=False))
    )

    assert render([diagnostic]).split("\n")[3:6] == [
        "1 | m = { d = 500, h = 8 }",
        "  |           ^^^ this",
        "  |                    - and this",
    ]


@pytest.mark.parametrize(
    ("line", "words", "drawn", "carets"),
    [
        ("\tx = 1", "x", "    x = 1", "    ^"),
        ("n = '中文' # x", "x", "n = '中文' # x", "             ^"),
        ("n = '中文'", "'中文'", "n = '中文'", "    ^^^^^^"),
        ("n = 'e\u0301' # x", "x", "n = 'e\u0301' # x", "          ^"),
        ("n = '\x1b[2J' # x", "x", r"n = '\x1b[2J' # x", "                ^"),
        ("n = '\u202ea' # x", "x", r"n = '\u202ea' # x", "                ^"),
    ],
    ids=["tab", "wide", "wide label", "combining", "escape", "bidi"],
)
def test_carets_stand_under_what_a_terminal_shows(line: str, words: str, drawn: str, carets: str) -> None:
    lines = render([Diagnostic("SF103", "no", (label(SourceText("a.toml", line), words),))]).split("\n")

    assert f"1 | {drawn}" == lines[3]
    assert f"  | {carets}" == lines[4]


def test_a_long_line_is_shown_around_its_label() -> None:
    source = SourceText("a.toml", "x" * 500 + "HERE" + "y" * 500)

    lines = render([Diagnostic("SF103", "no", (label(source, "HERE", "look"),))]).split("\n")

    assert "1 | …" + "x" * 60 + "HERE" + "y" * 76 + "…" == lines[3]
    assert "  |  " + " " * 60 + "^^^^ look" == lines[4]


def test_a_label_ends_with_its_first_line() -> None:
    source = SourceText("a.toml", "betas = [\n  0.9,\n]\n")

    lines = render([Diagnostic("SF103", "no", (label(source, "[\n  0.9,\n]"),))]).split("\n")

    assert lines[3:5] == ["1 | betas = [", "  |         ^"]


@given(st.text(max_size=300), st.integers(0, 300), st.integers(0, 20))
def test_any_text_is_drawn_without_unsafe_characters(text: str, start: int, length: int) -> None:
    source = SourceText(text[:20], text)
    span = Span(min(start, len(text)), min(start + length, len(text)))

    drawn = render([Diagnostic("SF103", text, (Label(source, span, text),), (text,), text)])

    unsafe = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not [character for character in drawn if unicodedata.category(character) in unsafe and character != "\n"]


def test_diagnostics_are_sorted_by_file_and_position() -> None:
    other = SourceText("base.toml", "a = 1\n")
    unordered = [
        Diagnostic("SF3", "c", (label(other, "a"),)),
        Diagnostic("SF2", "b", (label(SPEC, "droput"),)),
        Diagnostic("SF1", "a", (label(SPEC, "embed_dim"),)),
        Diagnostic("SF0", "without a place"),
    ]

    assert ["SF0", "SF1", "SF2", "SF3"] == [one.code for one in in_order(unordered, [SPEC, other].index)]


def test_the_last_line_counts() -> None:
    other = SourceText("base.toml", "a = 1\n")
    diagnostics = [Diagnostic("SF1", "x", (label(SPEC, "heads"),)), Diagnostic("SF1", "x", (label(other, "a"),))]

    assert render(diagnostics).endswith("\nerror: 2 errors in specs/wmt.toml, base.toml")


def test_colours_only_where_they_are_wanted() -> None:
    diagnostic = Diagnostic("SF1", "x", (label(SPEC, "heads", "here"),))

    assert "\x1b" not in render([diagnostic])
    assert "\x1b[1;31m^^^^^ here\x1b[0m" in render([diagnostic], colour=True)


def test_other_errors_are_drawn_alike() -> None:
    error = EnvironmentFaultError(
        "SF602", "the disk is full", place=Place("/data", 3), notes=("a\x1bb",), help="free some"
    )

    assert render_error(error) == (
        "error[SF602]: the disk is full\n --> /data:3\n  = note: a\\x1bb\n  = help: free some"
    )


def test_a_spec_error_shows_all_and_is_the_first() -> None:
    error = SpecError([Diagnostic("SF1", "x", (label(SPEC, "heads"),)), Diagnostic("SF2", "y")])

    assert render_error(error) == render(error.diagnostics)
    assert (error.code, str(error.place), error.exit_code) == ("SF1", "specs/wmt.toml:5:1", ExitCode.WRONG_INPUT)


def test_json_has_lines_and_columns() -> None:
    diagnostic = Diagnostic("SF1", "x", (label(SPEC, "heads", "here"),), help="do")

    assert diagnostic.as_json() == {
        "code": "SF1",
        "severity": "error",
        "message": "x",
        "labels": [
            {
                "file": "specs/wmt.toml",
                "line": 5,
                "column": 1,
                "end_line": 5,
                "end_column": 6,
                "text": "here",
                "primary": True,
            }
        ],
        "notes": [],
        "help": "do",
    }
