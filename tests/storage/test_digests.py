"""Digests of text files: right for every text, remembered only where that is safe, and never in the way."""

from __future__ import annotations

import gzip
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


def test_a_process_reads_a_file_once_even_without_a_memory(text: Path) -> None:
    reader = Reader(None, later())
    reader.inspect(text)
    reader.inspect(text)

    assert [text] == reader.read


def test_what_is_verified_is_read_once_more_and_only_once(text: Path, memory: Path) -> None:
    Reader(memory, later()).inspect(text)
    read: list[Path] = []
    verifying = Digests(memory, read.append, later, verify=True)
    verifying.inspect(text)
    verifying.inspect(text)

    assert [text] == read


def test_verifying_finds_what_no_file_time_tells(text: Path, memory: Path) -> None:
    Reader(memory, later()).inspect(text)
    with closing(sqlite3.connect(memory, isolation_level=None)) as connection:  # as if the text had been another then
        connection.execute("UPDATE files SET digest = 'other'")

    assert "other" == Reader(memory, later()).inspect(text).digest
    assert read_facts(text) == Digests(memory, clock=later, verify=True).inspect(text)
    assert read_facts(text) == Reader(memory, later()).inspect(text)  # and it is remembered from now on


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    text: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(memory, later())

    def changing(path: Path) -> TextFacts:
        facts = read_facts(path)
        path.write_text("three\n")
        return facts

    with monkeypatch.context() as patched:
        patched.setattr("specforge.storage.digests.read_facts", changing)
        reader.inspect(text)
    with closing(sqlite3.connect(memory)) as connection:
        assert [(0,)] == connection.execute("SELECT count(*) FROM files").fetchall()

    assert read_facts(text) == reader.inspect(text) == Reader(memory, later()).inspect(text)


def test_a_file_that_is_replaced_by_another_of_its_size_and_time_is_read(text: Path, memory: Path) -> None:
    reader = Reader(memory, later())
    reader.inspect(text)
    status = text.stat()
    other = text.with_name("other")
    other.write_text("ONE\ntwo\n")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(text)

    assert sha256(b"ONE\ntwo\n").hexdigest() == reader.inspect(text).digest


def test_damage_inside_the_memory_is_healed(text: Path, memory: Path) -> None:
    reader = Reader(memory, later())
    for number in range(100):
        other = text.with_name(f"{number}.en")
        other.write_text(f"{number}\n")
        reader.inspect(other)
    size = memory.stat().st_size
    with memory.open("r+b") as file:  # its first page stays, so that it opens well
        file.seek(4_096)
        file.write(b"\xa5" * (size - 4_096))

    assert read_facts(text) == Reader(memory, later()).inspect(text)
    again = Reader(memory, later())
    again.inspect(text)
    assert [] == again.read


def test_a_memory_of_another_version_is_begun_anew(text: Path, memory: Path) -> None:
    memory.parent.mkdir()
    with closing(sqlite3.connect(memory, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE files (device INTEGER)")
    Reader(memory, later()).inspect(text)
    again = Reader(memory, later())
    again.inspect(text)

    assert [] == again.read


def test_a_memory_that_can_only_be_read_still_serves(text: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Reader(memory, later()).inspect(text)
    new = text.with_name("new.en")
    new.write_text("new\n")
    connect = sqlite3.connect

    def read_only(path: Path, **options: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = connect(f"file:{path}?mode=ro", uri=True, **options)
        return opened

    monkeypatch.setattr(sqlite3, "connect", read_only)
    reader = Reader(memory, later())
    for path in (new, text):
        assert read_facts(path) == reader.inspect(path)

    assert [new] == reader.read


def test_the_oldest_are_forgotten(text: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specforge.storage.digests._MOST", 10)
    files = [text.with_name(f"{number}.en") for number in range(11)]
    for number, path in enumerate(files):
        path.write_text(f"{number}\n")
        Reader(memory, later() + number).inspect(path)
    reader = Reader(memory, later())
    for path in [*files[5:], files[0]]:
        reader.inspect(path)

    assert files[:1] == reader.read  # the eleventh made the older half go


def test_an_inode_beyond_sqlite_is_read_again(text: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = text.stat()
    far = os.stat_result((*status[:1], 2**63 + 1, *status[2:]))
    mine = SimpleNamespace(
        st_dev=far.st_dev, st_ino=far.st_ino, st_size=far.st_size, st_mtime_ns=LONG_AGO, st_ctime_ns=LONG_AGO,
        st_mode=far.st_mode,
    )  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", lambda *_, **__: mine)
        memory.parent.mkdir(exist_ok=True)
        facts = Reader(memory, later()).inspect(text)

    assert read_facts(text) == facts
    assert read_facts(text) == Reader(memory, later()).inspect(text)


def test_a_name_that_is_no_text(tmp_path: Path, memory: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/text.\xff"))
    path.write_text("one\n")
    reader = Reader(memory, later())

    assert read_facts(path) == reader.inspect(path) == Reader(memory, later()).inspect(path)


def test_many_at_once(tmp_path: Path, memory: Path) -> None:
    files = [tmp_path / f"{number}.en" for number in range(20)]
    for number, path in enumerate(files):
        path.write_text(f"{number}\n")

    def inspect(turn: int) -> list[TextFacts]:
        reader = Reader(memory, later())
        return [reader.inspect(path) for path in (files if turn % 2 else files[::-1])]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(inspect, range(4)))

    expected = [read_facts(path) for path in files]
    assert [expected[::-1], expected] * 2 == found


def test_the_user_hears_once_that_large_files_are_read_every_time(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    heard: list[str] = []
    digests = Digests(tmp_path / "folder", complain=heard.append)
    digests.inspect(text)
    assert [] == heard

    monkeypatch.setattr("specforge.storage.digests.LARGE", 1)
    digests.inspect(text)
    digests.inspect(text)
    assert 1 == len(heard)
    assert f"large files are read every time: {tmp_path / 'folder'}: unable to open database file" in heard[0]


def test_a_home_that_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "somewhere")

    assert cache_path({}) is None
