"""Lines in, lines out, as they come: a fake translator writes them in capitals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.text_files import LONGEST_LINE
from specforge.generation.generator import Where
from specforge.generation.lines import Line, text_line
from specforge.generation.streaming import (
    MOST_LINES,
    RawLine,
    arriving_groups,
    file_lines,
    full_groups,
    line_groups,
    stdin_lines,
    translate_groups,
)
from specforge.generation.translation import Output, Translation


class Capitals:
    """Remembers how many lines it was given at once; refuses `too long` and, once it looks at the rest, `no way`."""

    def __init__(self) -> None:
        self.groups: list[int] = []

    def translate_lines(self, lines: Sequence[Line], *, where: Where) -> list[Translation]:
        self.groups.append(len(lines))
        texts = [line.text for line in lines]
        for wrong in ("too long", "no way"):
            if wrong in texts:
                raise WrongInputError("SF506", wrong, place=where(texts.index(wrong)))
        return [Translation(line, (Output(line.text.upper()),)) for line in lines]


def written_by(groups: Iterable[Sequence[RawLine]], translator: Capitals, written: list[bytes]) -> None:
    translate_groups(
        translator,
        groups,
        text_line,
        lambda _, translations: written.append("".join(f"{each.text}\n" for each in translations).encode()),
    )


def stream(chunks: Iterable[bytes], translator: Capitals | None = None) -> list[bytes]:
    """Return what is written, write by write."""
    waiting = iter(chunks)
    written: list[bytes] = []
    written_by(arriving_groups(lambda: next(waiting, b"")), translator or Capitals(), written)
    return written


def failed(chunks: Iterable[bytes]) -> tuple[bytes, WrongInputError]:
    """Return what is written before an error, and the error."""
    waiting = iter(chunks)
    written: list[bytes] = []
    with pytest.raises(WrongInputError) as caught:
        written_by(arriving_groups(lambda: next(waiting, b"")), Capitals(), written)
    return b"".join(written), caught.value


def test_whole_lines_are_answered_before_more_is_read() -> None:
    assert [b"ONE\n", b"TWO\nTHREE\n", b"FOUR\n"] == stream([b"one\nt", b"wo\nthree\nfo", b"ur"])


def test_a_line_ends_at_lf_only() -> None:
    # form feed, U+0085, U+2028 and a CR in the middle are text; the CR of a CR LF is part of the line end
    text = "a\fb\x85c\u2028d\re\r\n\nf"

    assert "A\fB\x85C\u2028D\rE\n\nF\n" == b"".join(stream([text.encode()])).decode()


def test_a_character_may_arrive_in_halves_and_a_byte_order_mark_is_no_text() -> None:
    first, second = "\ufeffäö\n".encode()[:4], "\ufeffäö\n".encode()[4:]

    assert ["ÄÖ\n".encode()] == stream([first, second])


def test_no_input_gives_no_output() -> None:
    assert [] == stream([])


def test_not_too_many_lines_at_once() -> None:
    translator = Capitals()

    written = stream([b"x\n" * (2 * MOST_LINES + 1)], translator)

    assert [MOST_LINES, MOST_LINES, 1] == translator.groups
    assert 3 == len(written)


def test_what_stands_before_a_line_that_is_not_utf_8_is_translated() -> None:
    written, error = failed([b"one\ntwo\nth\xffree\nfour\n"])

    assert b"ONE\nTWO\n" == written
    assert ("SF502", Place("<stdin>", 3, 3)) == (error.code, error.place)


def test_lines_are_counted_over_all_that_came_before() -> None:
    _, error = failed([b"1\n" * 300, b"2\n3", b"\n\xff\n"])

    assert Place("<stdin>", 303, 1) == error.place


def test_a_line_over_the_models_positions_is_named() -> None:
    written, error = failed([b"a\nb\n", b"c\ntoo long\n\xff\n"])

    assert b"A\nB\nC\n" == written
    assert Place("<stdin>", 4) == error.place


def test_the_first_of_several_wrong_lines_is_the_one_named() -> None:
    written, error = failed([b"a\nno way\nb\ntoo long\n\xff\n"])

    assert b"A\n" == written
    assert Place("<stdin>", 2) == error.place


def test_what_is_wrong_with_no_line_ends_it_at_once() -> None:
    class Broken(Capitals):
        def translate_lines(self, lines: Sequence[Line], *, where: Where) -> list[Translation]:
            del lines, where
            raise WrongInputError("SF721", "no attention")

    with pytest.raises(WrongInputError) as caught:
        stream([b"a\n"], Broken())

    assert caught.value.place is None


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    def endless() -> Iterable[bytes]:
        yield b"short\n"
        for _ in range(LONGEST_LINE // 1_000 + 1):
            yield b"x" * 1_000
        message = "read on after the line was too long"
        raise AssertionError(message)

    written, error = failed(endless())

    assert b"SHORT\n" == written
    assert ("SF509", Place("<stdin>", 2)) == (error.code, error.place)


def test_the_longest_line_that_is_allowed_is_a_line() -> None:
    longest = b"a" * LONGEST_LINE

    assert [longest.upper() + b"\n"] * 2 == stream([longest + b"\n", longest])
    assert [longest.upper() + b"\nB\n"] == stream([longest, b"\nb\n"])
    assert "SF509" == failed([longest + b"a\n"])[1].code


@given(st.lists(st.binary(max_size=12), max_size=8), st.integers(1, 3))
def test_however_the_bytes_arrive_the_lines_are_the_same(chunks: list[bytes], most: int) -> None:
    waiting = iter([chunk for chunk in chunks if chunk])
    groups = list(line_groups(lambda: next(waiting, b""), most))

    text = b"".join(chunks)
    expected = text.split(b"\n") if text else []
    assert (expected[:-1] if expected and not expected[-1] else expected) == [
        line for group in groups for line in group
    ]
    assert all(1 <= len(group) <= most for group in groups)


@given(st.lists(st.sampled_from([b"a\n", b"b", b"\n", b"cc\nd"]), max_size=9), st.integers(1, 4))
def test_full_groups_do_not_depend_on_how_the_lines_arrive(chunks: list[bytes], size: int) -> None:
    waiting, at_once = iter(chunks), iter([b"".join(chunks)] if chunks else [])

    found = list(full_groups(stdin_lines(lambda: next(waiting, b"")), size))

    assert list(full_groups(stdin_lines(lambda: next(at_once, b"")), size)) == found
    assert [size] * (len(found) - 1) == [len(group) for group in found[:-1]]


def test_files_are_read_in_order_and_each_line_is_named_in_its_own(tmp_path: Path) -> None:
    for name, data in (("one", b"a\nb"), ("two", b"\xef\xbb\xbfc\nd\xff\n")):
        (tmp_path / name).write_bytes(data)
    written: list[bytes] = []

    with pytest.raises(WrongInputError) as caught:
        written_by(full_groups(file_lines([tmp_path / "one", tmp_path / "two"]), 9), Capitals(), written)

    assert [b"A\nB\nC\n"] == written
    assert Place(str(tmp_path / "two"), 2, 2) == caught.value.place


def test_what_was_read_before_a_file_fails_is_translated(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"a\nb")
    written: list[bytes] = []

    with pytest.raises(WrongInputError) as caught:
        written_by(full_groups(file_lines([tmp_path / "one", tmp_path / "gone"]), 9), Capitals(), written)

    assert [b"A\nB\n"] == written
    assert "SF501" == caught.value.code


def test_a_group_with_a_wrong_line_is_left_alone_where_groups_are_whole() -> None:
    lines = [RawLine(raw, Path("f"), number) for number, raw in enumerate([b"a", b"b", b"c", b"\xff"], start=1)]
    taken: list[int] = []

    with pytest.raises(WrongInputError):
        translate_groups(
            Capitals(), full_groups(lines, 2), text_line, lambda group, _: taken.append(len(group)), whole=True
        )

    assert [2] == taken
