"""Lines of text files: what ends one, what is damaged, what is too long; the same for every compression."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.text_files import (
    LONGEST_LINE,
    TextRemarks,
    decode_line,
    find_text_file,
    open_bytes,
    raw_lines,
    read_lines,
)


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the command `zstd` does


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zst,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


def write(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"text{suffix}"
    path.write_bytes(COMPRESS[suffix](data))
    return path


def failure(path: Path) -> WrongInputError:
    with pytest.raises(WrongInputError) as caught:
        list(read_lines(path))
    return caught.value


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\n\n", ["a", ""]),
        (b"a\r\nb\rc\r\n", ["a", "b\rc"]),
        ("a\u2028b\u0085c\x0cd\x0be\x1cf\n".encode(), ["a\u2028b\u0085c\x0cd\x0be\x1cf"]),
        (b"\x00\n", ["\x00"]),
        ("\ufeffa\n\ufeffb\n".encode(), ["a", "\ufeffb"]),
    ],
)
def test_a_line_ends_at_lf_only(tmp_path: Path, suffix: str, data: bytes, lines: list[str]) -> None:
    assert lines == list(read_lines(write(tmp_path, suffix, data)))


@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=8),
    ended=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_lines_come_back(tmp_path: Path, lines: list[str], *, ended: bool) -> None:
    if lines and not ended and not lines[-1]:
        ended = True  # an empty last line cannot be told from none
    text = "\n".join(lines) + ("\n" if lines and ended else "")
    expected = [line.removesuffix("\r") for line in lines]
    if expected:
        expected[0] = lines[0].removeprefix("\ufeff").removesuffix("\r")

    assert expected == list(read_lines(write(tmp_path, "", text.encode())))


def test_lines_across_the_borders_of_blocks_come_back(tmp_path: Path) -> None:
    lines = [f"{'é' * (number * 7919 % 90_000)}{number}" for number in range(40)]
    path = write(tmp_path, ".gz", "".join(f"{line}\n" for line in lines).encode())

    assert lines == list(read_lines(path))
    assert [line.encode() for line in lines] == list(raw_lines(path))


def test_a_cr_belongs_to_the_line_end_wherever_it_stands(tmp_path: Path) -> None:
    remarks = TextRemarks()
    path = write(tmp_path, "", b"a\n" * 200_000 + b"b\r\n" * 3 + b"c")

    assert ["b", "b", "b", "c"] == list(read_lines(path, remarks))[-4:]
    assert remarks.carriage_returns == 3


def test_what_is_left_out_of_lines_is_counted(tmp_path: Path) -> None:
    remarks = TextRemarks()

    list(read_lines(write(tmp_path, "", "\ufeffa\r\nb\nc\r\nd\r".encode()), remarks))

    assert TextRemarks(carriage_returns=3, byte_order_marks=1) == remarks


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz", ".bz2"])
def test_a_truncated_file_is_an_error_and_no_shorter_text(tmp_path: Path, suffix: str) -> None:
    data = "".join(f"{number * 7919}\n" for number in range(20_000)).encode()
    path = write(tmp_path, suffix, data)
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 5, 0):
        path.write_bytes(whole[:length])

        error = failure(path)

        assert ("SF508", Place(str(path))) == (error.code, error.place)


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz", ".bz2"])
def test_a_damaged_or_uncompressed_file_is_an_error(tmp_path: Path, suffix: str) -> None:
    data = random.Random(1).randbytes(30_000).hex().encode()
    path = write(tmp_path, suffix, data)
    damaged = bytearray(path.read_bytes())
    for position in range(2_000, 2_040):
        damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    assert failure(path).code == "SF508"

    path.write_bytes(b"plain text\n")
    assert failure(path).code == "SF508"


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz", ".bz2"])
def test_several_streams_in_one_file_are_read_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_bytes(b"".join(COMPRESS[suffix](part) for part in (b"a\nb", b"c\n" * 100_000, b"", b"d\n")))

    lines = list(read_lines(path))

    assert (["a", "bc"], 100_002, "d") == (lines[:2], len(lines), lines[-1])


def test_a_zst_file_of_zeros_is_read_in_pieces(tmp_path: Path) -> None:
    path = write(tmp_path, ".zst", b"\n" * 5_000_000)

    with open_bytes(path) as file:
        assert file.read(10) == b"\n" * 10
    assert sum(1 for _ in raw_lines(path)) == 5_000_000


def test_invalid_utf8_names_line_and_byte(tmp_path: Path) -> None:
    path = write(tmp_path, "", b"fine\n" * 30_000 + b"caf\xe9\nfine\n")

    error = failure(path)

    assert ("SF502", "not UTF-8: byte 0xe9") == (error.code, error.message)
    assert Place(str(path), 30_001, 4) == error.place


@pytest.mark.parametrize("data", [b"\xff\xfea\x00", b"\xed\xa0\x80", b"\xc0\xaf", b"a\xe2\x82"])
def test_utf16_surrogates_overlong_and_cut_off_characters_are_not_utf8(tmp_path: Path, data: bytes) -> None:
    assert failure(write(tmp_path, "", data)).code == "SF502"


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz", ".bz2"])
def test_a_compressed_file_without_its_suffix_is_told_from_other_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(COMPRESS[suffix](b"a line of text\n" * 9))

    assert failure(path).help == f"the file begins as a compressed one: let its name end in {suffix}"


def test_the_longest_line_is_a_limit_in_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, "", b"a\n" + b"x" * LONGEST_LINE + b"\nb\n")
    assert [1, LONGEST_LINE, 1] == [len(line) for line in raw_lines(path)]

    path = write(tmp_path, "", b"a\n" + b"x" * (LONGEST_LINE + 1) + b"\nb\n")
    error = failure(path)
    assert ("SF509", Place(str(path), 2)) == (error.code, error.place)


def test_a_line_without_end_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    error = failure(write(tmp_path, ".gz", b"x" * (20 * LONGEST_LINE)))

    assert ("SF509", 1) == (error.code, error.place and error.place.line)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "nowhere")

    assert failure(tmp_path / "fifo").code == "SF507"
    assert failure(tmp_path).code == "SF507"
    for name in ("missing", "loop", "nul\x00", "fifo/below"):
        assert failure(tmp_path / name).code == "SF501"


def test_an_error_of_the_reader_of_a_file_stays_what_it_is(tmp_path: Path) -> None:
    for suffix in COMPRESS:
        path = write(tmp_path, suffix, b"a\n")
        with pytest.raises(EOFError, match="mine"), open_bytes(path):
            raise EOFError("mine")
        with pytest.raises(OSError, match="mine"), open_bytes(path):
            raise OSError("mine")


def test_a_file_is_found_with_the_suffix_of_its_compression(tmp_path: Path) -> None:
    (tmp_path / "train.en.zst").touch()
    (tmp_path / "train.de").touch()

    assert find_text_file(tmp_path / "train.en") == tmp_path / "train.en.zst"
    assert find_text_file(tmp_path / "train.de") == tmp_path / "train.de"
    assert find_text_file(tmp_path / "train.fr") is None


def test_one_line_is_decoded_like_a_file_of_lines() -> None:
    assert decode_line(b"a b\r", Path("-"), 7) == "a b"
    assert decode_line("\ufeffa".encode(), Path("-"), 1) == "a"
