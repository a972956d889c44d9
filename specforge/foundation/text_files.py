"""Text files as they lie on disk, compressed or not: found by name, opened as bytes, read line by line.

A line ends at LF and nowhere else: U+2028, U+0085, form feed and vertical tab are text. A CR before the LF belongs to the
line end (files from Windows), and whoever reads is told how often that happened. Every reader goes through here, so that
validation, training and `translate` agree on what a line is.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Final, cast

from specforge.foundation.errors import Place, WrongInputError

COMPRESSIONS: Final = ("", ".gz", ".zst", ".xz", ".bz2")
"""Suffixes that are tried after a name, in this order."""

LONGEST_LINE: Final = 1 << 20
"""Longest line in bytes; a longer one is a wrong input, not a reason to run out of memory."""


def find_text_file(path: Path) -> Path | None:
    """Return the file itself or its compressed form, or None when none of them exists."""
    for suffix in COMPRESSIONS:
        candidate = path.with_name(path.name + suffix)
        if candidate.exists():
            return candidate
    return None


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading decompressed bytes.

    Raises:
        WrongInputError: it does not exist (SF501), is no regular file (SF507), or is not what its suffix says (SF508,
            when reading meets the damage).
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise WrongInputError("SF501", "no such file", place=Place(str(path))) from None
    if not stat.S_ISREG(mode):
        raise WrongInputError("SF507", "not a regular file", place=Place(str(path)))
    try:
        with _decompressed(path) as file:
            yield file
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise WrongInputError("SF508", f"damaged or not compressed as its name says: {error}", place=Place(str(path))) from error


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    match path.suffix:
        case ".gz":
            with gzip.open(path, "rb") as zipped:
                yield cast("IO[bytes]", zipped)
        case ".xz":
            with lzma.open(path, "rb") as xz:
                yield xz
        case ".bz2":
            with bz2.open(path, "rb") as bz:
                try:
                    yield bz
                except OSError as error:
                    if error.errno is not None:
                        raise
                    message = f"damaged or not compressed as its name says: {error}"
                    raise WrongInputError("SF508", message, place=Place(str(path))) from error
        case ".zst":
            import zstandard  # noqa: PLC0415  # only where a .zst file is read

            try:
                with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
                    yield BufferedReader(cast("IO[bytes]", stream))  # type: ignore[type-var]
            except zstandard.ZstdError as error:
                message = f"damaged or not compressed as its name says: {error}"
                raise WrongInputError("SF508", message, place=Place(str(path))) from error
        case _:
            with path.open("rb") as plain:
                yield plain


def raw_lines(path: Path) -> Iterator[bytes]:
    """Yield each line's bytes without its LF; a last line without LF counts.

    Raises:
        WrongInputError: as `open_bytes`, and SF509 for a line over `LONGEST_LINE` bytes.
    """
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 2):
            number += 1
            if len(line) > LONGEST_LINE + 1 or (len(line) == LONGEST_LINE + 1 and not line.endswith(b"\n")):
                raise WrongInputError(
                    "SF509", f"a line of more than {LONGEST_LINE:,} bytes", place=Place(str(path), number)
                )
            yield line.removesuffix(b"\n")


def decode_line(raw: bytes, path: Path, number: int) -> str:
    """Return a line's text, without the CR of a CR LF.

    Raises:
        WrongInputError: SF502, the bytes are not UTF-8; the place holds line and byte column.
    """
    try:
        return raw.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        raise WrongInputError(
            "SF502",
            f"not UTF-8: byte 0x{byte:02x}",
            place=Place(str(path), number, error.start + 1),
            help="convert the file to UTF-8, for instance with iconv",
        ) from error


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file as strings; the strict reader behind all others."""
    for number, raw in enumerate(raw_lines(path), 1):
        yield decode_line(raw, path, number)
