"""Lines that arrive one by one or by the thousand: translated as they come, with bounded memory and bounded delay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.text_files import LONGEST_LINE, decode_line
from specforge.generation.generator import Translation, Where

MOST_LINES: Final = 256
"""Most lines translated at once: enough to put like lengths together, few enough to wait for."""

_INPUT: Final = Path("<stdin>")

Read: TypeAlias = Callable[[], bytes]
"""Some bytes, as many as are there; waits while there are none; empty at the end."""

Write: TypeAlias = Callable[[bytes], None]
"""Takes bytes and hands them on at once."""


class Translator(Protocol):
    """What translates lines (`specforge.generation.generator.Generator`)."""

    def translate(self, lines: Sequence[str], *, where: Where) -> list[Translation]:
        """Return a translation for each line."""


def translate_stream(translator: Translator, read: Read, write: Write) -> None:
    """Write one line for each line read, as soon as there are whole lines.

    What stands before a line that is wrong is translated and written first.

    Raises:
        WrongInputError: SF502, a line is not UTF-8; SF509, a line is too long; SF506, it has more tokens than the model
            has positions.
    """
    number = 1  # of the first line of a group
    for group in line_groups(read, MOST_LINES):
        lines, wrong = _decoded(group, number)
        try:
            translations = translator.translate(lines, where=partial(_place, number))
        except WrongInputError as error:  # named before anything was decoded
            wrong, good = error, _lines_before(error, number)
            translations = translator.translate(lines[:good], where=partial(_place, number))
        write("".join(f"{each.text}\n" for each in translations).encode())
        if wrong is not None:
            raise wrong
        number += len(group)


def line_groups(read: Read, most: int) -> Iterator[list[bytes]]:
    """Yield the whole lines that are there, without their LF, at most `most` at once; a last line without LF counts.

    A line that grows beyond the longest that is allowed is the last one yielded, unfinished, for its reader to refuse.
    """
    rest = bytearray()
    while chunk := read():
        rest += chunk
        if b"\n" in chunk:
            *lines, tail = bytes(rest).split(b"\n")
            for start in range(0, len(lines), most):
                yield lines[start : start + most]
            rest = bytearray(tail)
        if len(rest) > LONGEST_LINE:
            break
    if rest:
        yield [bytes(rest)]


def _decoded(group: list[bytes], number: int) -> tuple[list[str], WrongInputError | None]:
    """Return the lines up to the first wrong one, and what is wrong with it.

    Args:
        group: lines as bytes.
        number: of the first, from 1.
    """
    lines: list[str] = []
    try:
        for offset, raw in enumerate(group):
            lines.append(_text(raw, number + offset))
    except WrongInputError as error:
        return lines, error
    return lines, None


def _text(raw: bytes, number: int) -> str:
    if len(raw) > LONGEST_LINE:
        raise WrongInputError("SF509", f"a line of more than {LONGEST_LINE:,} bytes", place=_place(number, 0))
    return decode_line(raw, _INPUT, number)


def _lines_before(error: WrongInputError, number: int) -> int:
    """Return how many lines of a group that begins with line `number` stand before the wrong one."""
    assert error.place is not None
    assert error.place.line is not None
    return error.place.line - number


def _place(number: int, index: int) -> Place:
    return Place(str(_INPUT), number + index)
