"""Lines that do not fit, split where a reader would pause; here a text of so many characters fits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.generation.long_lines import split_line


def at_most(characters: int) -> Callable[[str], bool]:
    return lambda text: len(text) <= characters


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Short.", ["Short."]),
        # a sentence end before a comma, and a comma before a space
        ("One two. Six, four five six.", ["One two.", "Six, four", "five six."]),
        ("Aaaa bbb, cc dd ee", ["Aaaa bbb,", "cc dd ee"]),
        ("He said »No.« And went on.", ["He said", "»No.« And", "went on."]),
        # the stop of `Dr.` is in the first half of what fits
        ("Dr. Who and friends", ["Dr. Who and", "friends"]),
        # what is just as long as fits, to the end of a sentence or of a word
        ("Aaa bbb ccc. Dd", ["Aaa bbb ccc.", "Dd"]),
        ("aaaaa bbbbbb cc", ["aaaaa bbbbbb", "cc"]),
        ("aaaaaaaaaaaaaaaaaaaaaaaaa bb", ["aaaaaaaaaaaa", "aaaaaaaaaaaa", "a bb"]),
        ("一二三四五六。七八九十一二三，四五六七八九", ["一二三四五六。", "七八九十一二三，", "四五六七八九"]),
        ("  ", []),
    ],
)
def test_parts_end_where_a_reader_pauses(text: str, parts: list[str]) -> None:
    assert parts == split_line(text, at_most(12))


@given(st.text(alphabet="ab .,!。", max_size=120), st.integers(1, 20))
def test_parts_fit_and_are_the_line_but_for_white_space(text: str, characters: int) -> None:
    parts = split_line(text, at_most(characters))

    assert all(0 < len(part) <= characters and part == part.strip() for part in parts)
    assert text.replace(" ", "") == "".join(parts).replace(" ", "")


def test_no_text_much_longer_than_what_fits_is_tried() -> None:
    longest = 0

    def fits(text: str) -> bool:
        nonlocal longest
        longest = max(longest, len(text))
        return len(text) <= 100

    split_line("word " * 20_000, fits)

    assert longest <= 256
