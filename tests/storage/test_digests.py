"""Digests of text files: right for every text, remembered only where that is safe, and never in the way."""

from __future__ import annotations

import gzip
import os
import sqlite3
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.foundation.errors import WrongInputError
from specforge.foundation.text_files import LONGEST_LINE
from specforge.storage.digests import Digests, TextFacts, cache_path, read_facts

LONG_AGO = time.time_ns() - 10**12


class Reader(Digests):
    """Counts how often a file is read."""

    def __init__(self, memory: Path | None, clock_ns: int | None = None) -> None:
        self.read: list[Path] = []
        super().__init__(memory, self.read.append, time.time_ns if clock_ns is None else lambda: clock_ns)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "digests.sqlite3"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.en"
    path.write_text("one\ntwo\n")
    return path


def later() -> int:
    """A time at which a file written now is no longer racy."""
    return time.time_ns() + 10**10


def facts_of(path: Path, data: bytes) -> TextFacts:
    path.write_bytes(data)
    return read_facts(path)


def test_facts_by_hand(tmp_path: Path) -> None:
    data = b"one\r\ntwo\nthree"

    assert TextFacts(sha256(data).hexdigest(), 3, 1) == facts_of(tmp_path / "text", data)


@given(st.text(min_size=1))
def test_lines_end_at_line_feeds_only(tmp_path_factory: pytest.TempPathFactory, written: str) -> None:
    data = written.encode(errors="ignore") or b"x"
    facts = facts_of(tmp_path_factory.getbasetemp() / "any.txt", data)

    assert sha256(data).hexdigest() == facts.digest
    assert data.count(b"\n") + (not data.endswith(b"\n")) == facts.lines
    assert sum(line.endswith(b"\r") for line in data.split(b"\n")[:-1]) == facts.crlf


@pytest.mark.parametrize("before", range(4))
def test_nothing_is_lost_where_two_chunks_meet(tmp_path: Path, before: int) -> None:
    # a CR LF and a character of three bytes lie across the border of the chunks that are read
    data = b"a\n" * (LONGEST_LINE // 2 - 2) + b"x" * before + "€\r\n€".encode()

    facts = facts_of(tmp_path / "text", data)

    assert (LONGEST_LINE // 2, 1) == (facts.lines, facts.crlf)


def test_the_digest_is_of_the_decompressed_text(tmp_path: Path) -> None:
    data = b"one\ntwo\n"

    assert facts_of(tmp_path / "plain", data) == facts_of(tmp_path / "zipped.gz", gzip.compress(data))


@pytest.mark.parametrize(
    ("data", "code", "line", "column"),
    [
        (b"", "SF504", None, None),
        (b"one\ntw\xffo\n", "SF502", 2, 3),
        ("zweiundvierzig\nfünf"[:-1].encode("latin-1"), "SF502", 2, 2),
        (b"one\ncut \xe2\x82", "SF502", 2, 5),
        (b"one\n" + b"x" * (LONGEST_LINE + 1) + b"\n", "SF509", 2, None),
        (b"x" * (LONGEST_LINE + 1), "SF509", 1, None),
    ],
)
def test_wrong_text_is_named_with_its_place(
    tmp_path: Path, data: bytes, code: str, line: int | None, column: int | None
) -> None:
    with pytest.raises(WrongInputError) as caught:
        facts_of(tmp_path / "text", data)

    place = caught.value.place
    assert place is not None
    assert (code, str(tmp_path / "text"), line, column) == (caught.value.code, place.path, place.line, place.column)


def test_the_longest_line_is_allowed(tmp_path: Path) -> None:
    assert 2 == facts_of(tmp_path / "text", b"x" * LONGEST_LINE + b"\n" + b"x" * LONGEST_LINE).lines


def test_an_unchanged_file_is_read_once(text: Path, memory: Path) -> None:
    first = Reader(memory, later())
    second = Reader(memory, later())

    assert first.inspect(text) == second.inspect(text) == read_facts(text)
    assert ([text], []) == (first.read, second.read)


def test_a_fresh_file_is_not_trusted(text: Path, memory: Path) -> None:
    reader = Reader(memory)
    reader.inspect(text)
    reader.inspect(text)

    assert [text, text] == reader.read


def test_another_name_of_the_same_file_costs_nothing(text: Path, memory: Path) -> None:
    reader = Reader(memory, later())
    reader.inspect(text)
    text.with_name("copy.en").hardlink_to(text)
    # the link changed the file's change time, so it is read once more, and then known by both names
    reader.inspect(text.with_name("copy.en"))
    reader.inspect(text)

    assert [text, text.with_name("copy.en")] == reader.read


def test_an_edit_of_equal_size_with_its_time_put_back_is_seen(text: Path, memory: Path) -> None:
    reader = Reader(memory, later())
    reader.inspect(text)
    status = text.stat()
    time.sleep(0.02)  # change times are counted in jiffies
    text.write_text("ONE\ntwo\n")
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert sha256(b"ONE\ntwo\n").hexdigest() == reader.inspect(text).digest


def test_random_times_change_no_digest(text: Path, memory: Path) -> None:
    reader = Reader(memory, later())
    digests = set()
    for moment in (0, LONG_AGO, later() * 2):
        os.utime(text, ns=(moment, moment))
        digests.add(reader.inspect(text).digest)

    assert 1 == len(digests)


def test_the_suffix_belongs_to_the_file(tmp_path: Path, memory: Path) -> None:
    plain = tmp_path / "text"
    plain.write_bytes(gzip.compress(b"one\n"))
    (tmp_path / "text.gz").hardlink_to(plain)
    reader = Reader(memory, later())
    facts = reader.inspect(tmp_path / "text.gz")

    with pytest.raises(WrongInputError):  # compressed bytes are not UTF-8
        reader.inspect(plain)
    assert 1 == facts.lines


def test_a_broken_memory_is_begun_anew(text: Path, memory: Path) -> None:
    memory.parent.mkdir()
    memory.write_bytes(b"this is no database, and long enough to be one" * 100)
    Reader(memory, later()).inspect(text)
    again = Reader(memory, later())
    again.inspect(text)

    assert [] == again.read


def test_a_locked_memory_is_left_alone(text: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.storage.digests._PATIENCE_SECONDS", 0.01)
    Reader(memory, later()).inspect(text)
    holder = sqlite3.connect(memory, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    facts = Reader(memory, later()).inspect(text)
    holder.close()

    assert read_facts(text) == facts


@pytest.mark.parametrize("nowhere", ["file/in/the/way.sqlite3", "folder"])
def test_a_memory_that_cannot_be_written_is_done_without(text: Path, tmp_path: Path, nowhere: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    assert read_facts(text) == Reader(tmp_path / nowhere).inspect(text)


def test_where_the_memory_lies() -> None:
    assert Path("/x/specforge/digests.sqlite3") == cache_path({"XDG_CACHE_HOME": "/x"})
    # a relative path is to be ignored, say the XDG rules
    assert Path.home() / ".cache" / "specforge" / "digests.sqlite3" == cache_path({"XDG_CACHE_HOME": "x"})
