"""Text files as they lie on disk, compressed or not: found by name, opened as bytes, read line by line.

A line ends at LF and nowhere else: U+2028, U+0085, form feed and vertical tab are text. A CR before the LF belongs to the
line end (files from Windows), a byte order mark before the first line to the encoding, and whoever reads is told of both.
Every reader goes through here, so that validation, training and `translate` agree on what a line is.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol

from specforge.foundation.errors import Place, WrongInputError

if TYPE_CHECKING:
    import zstandard
    from _typeshed import WriteableBuffer

COMPRESSIONS: Final = ("", ".gz", ".zst", ".xz", ".bz2")
"""Suffixes that are tried after a name, in this order."""

LONGEST_LINE: Final = 1 << 20
"""Longest line in bytes; a longer one is a wrong input, not a reason to run out of memory."""

_FIRST_BYTES: Final = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".xz": b"\xfd7zXZ\x00", ".bz2": b"BZh"}
_BYTE_ORDER_MARK: Final = "\ufeff".encode()
_BUFFER: Final = 1 << 17


@dataclass(slots=True)
class TextRemarks:
    """What was met in text and left out of its lines.

    Args:
        carriage_returns: lines that end in CR LF.
        byte_order_marks: files that begin with one.
    """

    carriage_returns: int = 0
    byte_order_marks: int = 0


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
        WrongInputError: it does not exist (SF501), is no regular file (SF507), or is damaged or not what its suffix says
            (SF508, when reading meets the damage).
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        raise WrongInputError("SF501", "no such file", place=Place(str(path))) from None
    if not stat.S_ISREG(mode):
        raise WrongInputError("SF507", "not a regular file", place=Place(str(path)))
    with path.open("rb") as raw:
        compressed = _decompressor(path, raw)
        if compressed is None:
            yield raw
        else:
            if not os.fstat(raw.fileno()).st_size:  # gzip's reader takes it for a file without lines
                raise _damaged(path, "the file is empty")
            with BufferedReader(_CheckedStream(compressed, path), _BUFFER) as file:
                yield file


class _ByteStream(Protocol):
    """What a decompressor offers: at most `size` bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


def _decompressor(path: Path, raw: IO[bytes]) -> _ByteStream | None:
    match path.suffix:
        case ".gz":
            return gzip.GzipFile(fileobj=raw, mode="rb")
        case ".xz":
            return lzma.LZMAFile(raw)
        case ".bz2":
            return bz2.BZ2File(raw)
        case ".zst":
            return _ZstandardStream(raw)
        case _:
            return None


def _damaged(path: Path, reason: str) -> WrongInputError:
    return WrongInputError("SF508", f"damaged or not compressed as its name says: {reason}", place=Place(str(path)))


class _CheckedStream(RawIOBase):
    """Decompressed bytes; damage becomes a diagnostic at the read that meets it.

    Args:
        stream: the decompressor.
        path: the file, for the diagnostic.
    """

    def __init__(self, stream: _ByteStream, path: Path) -> None:
        super().__init__()
        self._stream = stream
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read(len(view))
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
            raise _damaged(self._path, str(error).lower()) from error
        except OSError as error:
            if error.errno is None:  # bz2 says so when the data is bad
                raise _damaged(self._path, str(error).lower()) from error
            raise
        view[: len(data)] = data
        return len(data)


class _ZstandardStream:
    """All frames of a .zst file one after the other; the library's own reader takes a truncated file for a short one.

    Args:
        raw: the compressed bytes.
    """

    _PIECE: Final = 1 << 10  # compressed bytes fed at once: a block of 4 bytes may stand for 128 KiB, so 32 MiB at most

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard  # only where a .zst file is read

        self._raw = raw
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._compressed = b""
        self._ready = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        while not self._ready and self._fill():
            pass
        data = bytes(self._ready[:size])
        self._ready = self._ready[size:]
        return data

    def _fill(self) -> bool:
        """Decompress the next piece; return whether there was one."""
        piece = self._compressed or self._raw.read(self._PIECE)
        self._compressed = b""
        if not piece:
            if self._frame is not None:
                message = "it ends in the middle of a frame"
                raise EOFError(message)
            return False
        if self._frame is None:
            self._frame = self._decompressor.decompressobj()
        try:
            self._ready = memoryview(self._frame.decompress(piece))
        except self._error as error:
            raise EOFError(str(error)) from error
        if self._frame.eof:
            self._compressed = self._frame.unused_data
            self._frame = None
        return True


def raw_lines(path: Path) -> Iterator[bytes]:
    """Yield each line's bytes without its LF; a last line without LF counts.

    Raises:
        WrongInputError: as `open_bytes`, and SF509 for a line over `LONGEST_LINE` bytes.
    """
    for lines, _ in _line_blocks(path):
        yield from lines.split(b"\n")


def _line_blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines, many at once, LF between them and not after the last, with the number of the first; as `raw_lines`."""
    number = 1
    rest = b""
    with open_bytes(path) as file:
        while block := file.read(_BUFFER):
            lines, ended, rest = (rest + block).rpartition(b"\n")
            _check_length(lines, path, number)
            if ended:
                yield lines, number
                number += lines.count(b"\n") + 1
            _check_length(rest, path, number)
    if rest:
        yield rest, number


def _check_length(lines: bytes, path: Path, number: int) -> None:
    if len(lines) <= LONGEST_LINE:
        return
    for offset, line in enumerate(lines.split(b"\n")):
        if len(line) > LONGEST_LINE:
            message = f"a line of more than {LONGEST_LINE:,} bytes"
            raise WrongInputError("SF509", message, place=Place(str(path), number + offset))


def decode_line(raw: bytes, path: Path, number: int) -> str:
    """Return a line's text, without the CR of a CR LF and without a byte order mark.

    Args:
        raw: the line's bytes without LF.
        path: the file, for the diagnostic.
        number: the line's number, from 1.

    Raises:
        WrongInputError: SF502, the bytes are not UTF-8; the place holds line and byte column.
    """
    if number == 1:
        raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        return raw.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{raw[error.start]:02x}"
        place = Place(str(path), number, error.start + 1)
        kind = next((suffix for suffix, begin in _FIRST_BYTES.items() if number == 1 and raw.startswith(begin)), None)
        advice = "convert the file to UTF-8, for instance with iconv"
        if kind is not None:
            advice = f"the file begins as a compressed one: let its name end in {kind}"
        raise WrongInputError("SF502", message, place=place, help=advice) from error


def read_lines(path: Path, remarks: TextRemarks | None = None) -> Iterator[str]:
    """Yield the lines of a text file as strings; the strict reader behind all others.

    Args:
        path: the file, compressed if its suffix says so.
        remarks: counts what is left out of the lines.

    Raises:
        WrongInputError: as `raw_lines` and `decode_line`.
    """
    for lines, first in _line_blocks(path):
        if remarks is not None:
            remarks.carriage_returns += lines.count(b"\r\n") + lines.endswith(b"\r")
            remarks.byte_order_marks += first == 1 and lines.startswith(_BYTE_ORDER_MARK)
        text = _decoded(lines)
        if text is None or "\r" in text or first == 1:
            for number, raw in enumerate(lines.split(b"\n"), first):
                yield decode_line(raw, path, number)
        else:  # several times as fast
            yield from text.split("\n")


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
