"""Lines that arrive one by one or by the thousand: translated group by group, with bounded memory and bounded delay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.text_files import LONGEST_LINE, decode_line, raw_lines
from specforge.generation.generator import Where
from specforge.generation.lines import Line
from specforge.generation.translation import Translation

MOST_LINES: Final = 256
"""Most lines translated at once where somebody waits: enough to put like lengths together, few enough to wait for."""

GROUP_LINES: Final = 1_024
"""Lines translated at once where nobody does."""

STDIN: Final = Path("<stdin>")

Read: TypeAlias = Callable[[], bytes]
"""Some bytes, as many as are there; waits while there are none; empty at the end."""

Parse: TypeAlias = Callable[[str, Place], Line]
"""From the text of a line, and where it stands, to what is to be translated."""

Emit: TypeAlias = Callable[["Sequence[RawLine]", Sequence[Translation]], None]
"""Takes lines and what became of them."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line as it was read.

    Args:
        raw: its bytes, without LF.
        path: its file.
        number: from 1, in its file.
    """

    raw: bytes
    path: Path
    number: int

    @property
    def place(self) -> Place:
        """Where the user finds it."""
        return Place(str(self.path), self.number)


class Translator(Protocol):
    """What translates lines (`specforge.generation.generator.Generator`)."""

    def translate_lines(self, lines: Sequence[Line], *, where: Where) -> list[Translation]:
        """Return a translation for each line."""


def translate_groups(
    translator: Translator, groups: Iterable[Sequence[RawLine]], parse: Parse, emit: Emit, *, whole: bool = False
) -> None:
    """Translate group after group, each before the next is read.

    Args:
        translator: translates.
        groups: of lines.
        parse: reads a line.
        emit: takes what became of a group.
        whole: whether a group in which a line is wrong is left alone; else what stands before that line is translated, and
            taken, first.

    Raises:
        WrongInputError: SF502, a line is not UTF-8; SF509, a line is too long; what `parse` and `translator` say of a line.
    """
    for group in groups:
        translations, wrong = _translated(translator, group, parse)
        if wrong is None or not whole:
            emit(group[: len(translations)], translations)
        if wrong is not None:
            raise wrong


def arriving_groups(read: Read, most: int = MOST_LINES) -> Iterator[list[RawLine]]:
    """Yield the whole lines of standard input that are there, at most `most` at once."""
    number = 1
    for group in line_groups(read, most):
        yield [RawLine(raw, STDIN, number + offset) for offset, raw in enumerate(group)]
        number += len(group)


def full_groups(lines: Iterable[RawLine], size: int) -> Iterator[list[RawLine]]:
    """Yield lines `size` at once, however they arrive: the same lines make the same groups. What stands before an error, first."""
    group: list[RawLine] = []
    try:
        for line in lines:
            group.append(line)
            if len(group) == size:
                yield group
                group = []
    except WrongInputError:
        if group:
            yield group
        raise
    if group:
        yield group


def file_lines(paths: Iterable[Path]) -> Iterator[RawLine]:
    """Yield the lines of files, one after the other.

    Raises:
        WrongInputError: as `specforge.foundation.text_files.raw_lines`.
    """
    for path in paths:
        for number, raw in enumerate(raw_lines(path), start=1):
            yield RawLine(raw, path, number)


def stdin_lines(read: Read) -> Iterator[RawLine]:
    """Yield the lines of standard input."""
    for group in arriving_groups(read):
        yield from group


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


def _translated(
    translator: Translator, group: Sequence[RawLine], parse: Parse
) -> tuple[list[Translation], WrongInputError | None]:
    """Return what became of the lines up to the first wrong one, and what is wrong with it."""
    good, wrong = group, None
    while True:
        try:
            lines = [_parsed(line, parse) for line in good]
            return translator.translate_lines(lines, where=lambda number: group[number].place), wrong
        except WrongInputError as error:
            before = _lines_before(error, good)
            if before is None:
                raise
            good, wrong = good[:before], error


def _parsed(line: RawLine, parse: Parse) -> Line:
    if len(line.raw) > LONGEST_LINE:
        raise WrongInputError("SF509", f"a line of more than {LONGEST_LINE:,} bytes", place=line.place)
    return parse(decode_line(line.raw, line.path, line.number), line.place)


def _lines_before(error: WrongInputError, group: Sequence[RawLine]) -> int | None:
    """Return how many lines of a group stand before the wrong one; None where the error names none of them."""
    if error.place is None:
        return None
    wrong = (error.place.path, error.place.line)
    return next((index for index, line in enumerate(group) if (str(line.path), line.number) == wrong), None)
