"""Rows of a corpus, whatever its format: one string for each column of the task, in the task's order.

| format | a row |
|---|---|
| text | one line of each of several parallel files |
| tsv | fields between tabs; no quoting, so every character but tab and LF is text |
| jsonl | a JSON object with a string under the name of each column |

A row that does not fit is an error with its line, never a row less. What is left out of texts is counted in `RowRemarks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final, Literal, TypeAlias

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.json_lines import json_value
from specforge.foundation.quantities import counted
from specforge.foundation.terminal import printable
from specforge.foundation.text_files import TextRemarks, read_lines
from specforge.plugin import Column

Row: TypeAlias = tuple[str, ...]
"""The texts of one item, in the order of the task's columns; none of them contains LF."""

_JSON_TYPES: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
}


@dataclass(slots=True)
class RowRemarks(TextRemarks):
    """What was met in a corpus and is not in its rows.

    Args:
        line_feeds: JSON strings that contained LF, which became spaces: an item is a line everywhere else.
    """

    line_feeds: int = 0


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """Where a corpus lies and how it is written.

    Args:
        format: text, tsv or jsonl.
        files: column role → file for text; `{"": file}` for a table.
        header: whether the first line of a tsv names its columns.
        columns: names of a tsv's columns when it has no header, all of them, in order.
    """

    format: Literal["text", "tsv", "jsonl"]
    files: Mapping[str, Path]
    header: bool = False
    columns: tuple[str, ...] = ()


def read_rows(corpus: CorpusFiles, columns: Sequence[Column], remarks: RowRemarks) -> Iterator[Row]:
    """Yield the rows of a corpus.

    Args:
        corpus: the files.
        columns: the task's columns.
        remarks: counts what is not in the rows.

    Raises:
        WrongInputError: as `text_files.read_lines`; parallel files of unequal length (SF503); a row of a table that does
            not fit (SF505).
    """
    match corpus.format:
        case "text":
            alone = corpus.files.get("")
            paths = [corpus.files[column.role] for column in columns] if alone is None else [alone]
            return _read_text(paths, remarks)
        case "tsv":
            return _read_tsv(corpus, columns, remarks)
        case "jsonl":
            return _read_jsonl(corpus.files[""], columns, remarks)


def _read_text(paths: Sequence[Path], remarks: RowRemarks) -> Iterator[Row]:
    files = [read_lines(path, remarks) for path in paths]
    for number, row in enumerate(zip_longest(*files)):
        texts = tuple(text for text in row if text is not None)
        if len(texts) < len(row):
            raise _unequal(paths, row, files, number)
        yield texts


def _unequal(
    paths: Sequence[Path], row: tuple[str | None, ...], files: Sequence[Iterator[str]], number: int
) -> WrongInputError:
    """Count the longer files to their end, so that the message says all counts."""
    counts = [
        number if text is None else number + 1 + sum(1 for _ in file) for text, file in zip(row, files, strict=True)
    ]
    shortest = paths[counts.index(min(counts))]
    return WrongInputError(
        "SF503",
        "parallel files of unequal length",
        place=Place(str(shortest), number + 1),
        notes=tuple(f"{path} has {counted(count, 'line')}" for path, count in zip(paths, counts, strict=True)),
        help=f"line {number + 1:,} is the first that is missing; the fault may be anywhere before it",
    )


def _read_tsv(corpus: CorpusFiles, columns: Sequence[Column], remarks: RowRemarks) -> Iterator[Row]:
    path = corpus.files[""]
    lines = enumerate(read_lines(path, remarks), start=1)
    names = list(corpus.columns)
    if corpus.header:
        names = next(lines, (1, ""))[1].split("\t")
    positions = _positions(names, columns, path)
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(names):
            message = f"{counted(len(fields), 'field')} where the table has {counted(len(names), 'column')}"
            note = f"the columns are {', '.join(f'`{printable(name)}`' for name in names)}"
            raise WrongInputError("SF505", message, place=Place(str(path), number), notes=(note,))
        yield tuple(fields[position] for position in positions)


def _positions(names: Sequence[str], columns: Sequence[Column], path: Path) -> list[int]:
    """Return where each of the task's columns stands in the table."""
    place = Place(str(path), 1)
    for column in columns:
        found = names.count(column.name)
        if found != 1:
            message = f"{'no column' if not found else f'{found} columns'} `{printable(column.name)}` in the table"
            listed = f"the table's columns are {', '.join(f'`{printable(name)}`' for name in names)}"
            raise WrongInputError("SF505", message, place=place, notes=(listed,))
    return [names.index(column.name) for column in columns]


def _read_jsonl(path: Path, columns: Sequence[Column], remarks: RowRemarks) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path, remarks), start=1):
        place = Place(str(path), number)
        values = json_value(line, place)
        if not isinstance(values, dict):
            raise WrongInputError("SF505", f"{_json_type(values)} where an object is expected", place=place)
        row = tuple(_json_text(values, column.name, place) for column in columns)
        if "\\" in line:  # no LF without an escape
            remarks.line_feeds += sum("\n" in text for text in row)
            row = tuple(text.replace("\n", " ") for text in row)
        yield row


def _json_text(values: Mapping[str, object], name: str, place: Place) -> str:
    if name not in values:
        listed = f"the object has {', '.join(f'`{printable(key)}`' for key in values) or 'no keys'}"
        raise WrongInputError("SF505", f"no `{printable(name)}` in the row", place=place, notes=(listed,))
    text = values[name]
    if not isinstance(text, str):
        raise WrongInputError("SF505", f"`{printable(name)}` is {_json_type(text)}, not a string", place=place)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = f"`{printable(name)}` contains half of a surrogate pair"
        raise WrongInputError("SF505", message, place=place) from error
    return text


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "a string")
