"""Reading spec files: whatever they hold, the answer is values or one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specforge.language.messages.diagnostics import Diagnostic, SpecError, render
from specforge.language.text.limits import MOST_ENTRIES, over_limit
from specforge.language.text.source import Source, decode_source, parse_source, read_source
from specforge.language.text.spans import SourceText


def read(raw: bytes) -> Source:
    return parse_source(decode_source(raw, "spec.toml"), "spec", Path("/specs"))


def refusal(raw: bytes) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        read(raw)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a = 1\n", {"a": 1}),
        (b"\xef\xbb\xbfa = 1\n", {"a": 1}),
        (b"a = 1\r\nb = '''x\r\ny'''\r\n", {"a": 1, "b": "x\ny"}),
        ("a = 'x\u2028y\u0085z'".encode(), {"a": "x\u2028y\u0085z"}),
        (b"a = 9223372036854775807\nb = -9223372036854775808", {"a": 2**63 - 1, "b": -(2**63)}),
    ],
)
def test_text_is_read_as_toml(raw: bytes, expected: dict[str, object]) -> None:
    assert expected == read(raw).data


@pytest.mark.parametrize(
    ("raw", "code", "place"),
    [
        (b"a = \xff", "SF502", "spec.toml:1:5"),
        (b"\xef\xbb\xbfa = 1\r\nb = '\xc3('", "SF502", "spec.toml:2:6"),
        ("a = 1".encode("utf-16"), "SF502", "spec.toml:1:1"),
        ("a = 1".encode("utf-16-le"), "SF502", "spec.toml:1:2"),
        (b"a = adam", "SF104", "spec.toml:1:5"),
        (b"a = 1\na = 2", "SF104", "spec.toml:2:1"),
        (b"[t]\nx = 1\n  [t] # again", "SF104", "spec.toml:3:3"),
        (b"a = 'x\x1by'", "SF104", "spec.toml:1:7"),
        (b"a = 1\rb = 2", "SF104", "spec.toml:1:6"),
        (b"a = " + b"[" * 33 + b"]" * 33, "SF105", "spec.toml:1:37"),
        (b"a = " + b"{b=" * 40 + b"1" + b"}" * 40, "SF105", "spec.toml:1:101"),
        (b"a" + b".a" * 16 + b" = 1", "SF105", "spec.toml:1:32"),
        (b"[" + b"a." * 16 + b"a]", "SF105", "spec.toml:1:33"),
        (b"a = " + b"9" * 5_000, "SF105", "spec.toml:1:5"),
        (b"a = 0x" + b"f" * 60_000, "SF105", "spec.toml:1:5"),
        (b"a.b.c.d.e.f.g.h.i.j = {k.l.m.n.o.p.q.r.s.t = {u.v.w.x.y.z.a.b.c.d.e.f.g = 1}}", "SF105", "spec.toml"),
    ],
)
def test_what_cannot_be_read_is_one_diagnostic_with_its_place(raw: bytes, code: str, place: str) -> None:
    diagnostic = refusal(raw)

    assert (code, place) == (diagnostic.code, str(diagnostic.place))


def test_text_without_quotes_is_told_how_to_be_written() -> None:
    diagnostic = refusal(b"[model]\nuse = transformer  # plain\n")

    assert diagnostic.help == 'write `"transformer"`'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("9223372036854775808", "a whole number beyond 64 bits"),
        ("1e999", "a number that is infinite, or too large to be told from that"),
        ("nan", "`nan` is no value of a spec"),
        ("1979-05-27", "a spec has no dates or times"),
        ("07:32:00", "a spec has no dates or times"),
    ],
)
def test_values_that_json_does_not_have_are_faults_that_leave_the_rest(value: str, message: str) -> None:
    source = read(f"a = 1\nb = {{ c = [0, {value}] }}\n".encode())

    assert {"a": 1, "b": {"c": [0, None]}} == source.data
    assert [(message, "spec.toml:2:15")] == [(fault.message, str(fault.place)) for fault in source.faults]
    assert source.faulty == {("b", "c", 1)}


def test_what_people_write_is_far_below_the_limits() -> None:
    assert over_limit("a = [" + "1, " * (MOST_ENTRIES - 3) + "]") is None
    assert over_limit("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p = 3.14159 # " + "x" * 999) is None
    assert over_limit('a = """' + 'x"y' * 9_999 + '"""\nb = "' + '\\"[' * 999 + '"') is None


def test_entries_are_counted() -> None:
    excess = over_limit("a = [" + "1, " * (MOST_ENTRIES + 1) + "]")

    assert excess is not None
    assert excess[0] == "more than 10,000 keys and array elements"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("a.=[]{},'\"#\\\n\t 1-\0\u202e\x1b\U0001f600"), max_size=60))
def test_any_text_is_read_or_refused_with_a_diagnostic_that_can_be_printed(text: str) -> None:
    try:
        parse_source(SourceText("spec.toml", text), "spec", Path())
    except SpecError as error:
        drawn = render(error.diagnostics)
        assert not {"\0", "\x1b", "\u202e"} & set(drawn)


@pytest.mark.parametrize(
    ("bomb", "code"),
    [
        ("a = [" + "[" * 500_000, "SF105"),
        (".".join(["a"] * 10_000) + " = 1", "SF105"),
        ('a = "' + '\\"' * 500_000, "SF104"),
        ('a = """' + '""' * 300_000, "SF104"),
        ("'" * 1_000_000, "SF104"),
        ("\n".join("[" + "a." * 998 + f"b{number}]" for number in range(500)), "SF105"),
    ],
    ids=["nesting", "key", "escapes", "quotes", "ticks", "headers"],
)
def test_bombs_are_refused(bomb: str, code: str) -> None:
    assert code == refusal(bomb.encode()).code


def test_a_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "near.toml").write_bytes(b"")
    expected = {
        "absent.toml": "SF501",
        ".": "SF507",
        "pipe.toml": "SF507",
        "large.toml": "SF105",
        "near.toml/x": "SF501",
    }

    codes = {}
    for name in expected:
        with pytest.raises(SpecError) as caught:
            read_source(tmp_path / name, name)
        codes[name] = caught.value.code

    assert expected == codes


def test_a_name_that_is_near_is_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wmt.toml").write_bytes(b"")

    with pytest.raises(SpecError) as caught:
        read_source(Path("wnt.toml"), "wnt.toml")

    assert caught.value.help == "did you mean `wmt.toml`?"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("smal.toml", "did you mean `small.toml`?"), ("x.toml", None), ("smal", "did you mean `small.toml`?")],
)
def test_a_file_that_is_not_there_is_met_with_one_of_a_like_name(tmp_path: Path, name: str, hint: str | None) -> None:
    (tmp_path / "small.toml").touch()
    (tmp_path / "a.toml").touch()

    with pytest.raises(SpecError) as caught:
        read_source(tmp_path / name, name)

    assert ("SF501", hint) == (caught.value.code, caught.value.help)


def test_a_name_that_no_file_can_have_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "loop.toml").symlink_to("loop.toml")

    for name in ("x" * 300, "loop.toml"):
        with pytest.raises(SpecError) as caught:
            read_source(tmp_path / name, name)
        assert "SF501" == caught.value.code
        assert caught.value.message.startswith("no such file: ")


@pytest.mark.parametrize(
    ("value", "label", "help_text"),
    [
        ("adam", "text needs quotes", 'write `"adam"`'),
        ("True", "truth values are lower case", "write `true`"),
        ("FALSE", "truth values are lower case", "write `false`"),
        (".5", "a number begins with a digit", "write `0.5`"),
        (".5e-4", "a number begins with a digit", "write `0.5e-4`"),
        ("./train", "text needs quotes", 'write `"./train"`'),
    ],
)
def test_a_word_that_is_no_value_is_told_how_to_write_it(value: str, label: str, help_text: str) -> None:
    found = refusal(f"a = {value}\n".encode())

    assert (label, help_text) == (found.labels[0].text, found.help)


@pytest.mark.parametrize("string", ["'x", '"""x', "'''x\ny"])
def test_a_string_without_an_end_is_shown_where_it_begins(string: str) -> None:
    found = refusal(f"a = 1\nb = {string}\nc = 2\n".encode())

    assert ("SF104", "spec.toml:2:5") == (found.code, str(found.place))
