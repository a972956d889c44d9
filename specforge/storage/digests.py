"""Digests of data files: read once, remembered per user, never trusted when they could be out of date.

The memory is an SQLite table in the user's cache folder, keyed by device and inode, so that a copy of the project or
another way to the same file costs nothing. An entry holds while size, modification time and change time are what they
were, unless the file was changed so shortly before it was read that the clock of the file system could not tell a
later change from it (the rule that git calls racy). Without the memory everything works, only slower. What no file time
tells (a clock that was set back, a disk image that was edited from outside) is found by reading: `--verify-inputs`.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from specforge.foundation import durable
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.text_files import COMPRESSIONS, LONGEST_LINE, open_bytes, read_lines

_RACY_NS: Final = 2_000_000_000
_PATIENCE_SECONDS: Final = 1.0
_FORMAT: Final = 2
_TABLE: Final = """
CREATE TABLE files (
    device INTEGER, inode INTEGER, suffix TEXT, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
    digest TEXT, lines INTEGER, crlf INTEGER, kept_ns INTEGER, PRIMARY KEY (device, inode, suffix)
) WITHOUT ROWID
"""

_MOST: Final = 20_000
"""Entries that are kept, about 3 MB; beyond that the older half is forgotten, or files that are gone would stay for ever."""

_FORGET: Final = """
DELETE FROM files WHERE (SELECT count(*) FROM files) > ?
    AND kept_ns < (SELECT kept_ns FROM files ORDER BY kept_ns DESC LIMIT 1 OFFSET ?)
"""

LARGE: Final = 100_000_000
"""Bytes from which on reading a file is worth a line: about a second."""


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What a text file holds.

    Args:
        digest: SHA-256 of the decompressed bytes.
        lines: number of lines; a last line without LF counts.
        crlf: number of lines that end in CR LF.
    """

    digest: str
    lines: int
    crlf: int


def read_facts(path: Path) -> TextFacts:
    """Read a text file whole, with bounded memory.

    Raises:
        WrongInputError: it is missing (SF501), no regular file (SF507), damaged (SF508), empty (SF504), not UTF-8 (SF502,
            with line and byte column), or has an overlong line (SF509).
    """
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    lines = crlf = unended = 0  # `unended`: bytes since the last LF
    last = b""
    try:
        with open_bytes(path) as file:
            while chunk := file.read(LONGEST_LINE):
                digest.update(chunk)
                decoder.decode(chunk)
                first = chunk.find(b"\n")
                if unended + (len(chunk) if first < 0 else first) > LONGEST_LINE:
                    raise WrongInputError(
                        "SF509", f"a line of more than {LONGEST_LINE:,} bytes", place=Place(str(path), lines + 1)
                    )
                unended = unended + len(chunk) if first < 0 else len(chunk) - chunk.rfind(b"\n") - 1
                lines += chunk.count(b"\n")
                crlf += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
                last = chunk[-1:]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        for _ in read_lines(path):  # the slow reader knows line and column
            pass
        raise
    lines += unended > 0
    if not lines:
        raise WrongInputError("SF504", "the file is empty", place=Place(str(path)))
    return TextFacts(digest.hexdigest(), lines, crlf)


def cache_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the memory lies, by the XDG rules; None for a user without a home."""
    folder = Path(environment.get("XDG_CACHE_HOME", ""))
    if folder.is_absolute():
        return folder / "specforge" / "digests.sqlite3"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "specforge" / "digests.sqlite3" if home.is_absolute() else None


class Digests:
    """Inspects text files and remembers what they hold.

    Args:
        memory: the SQLite file, or None to remember nothing beyond this process.
        announce: called with the path before a file is read; reading a large one takes a while.
        clock: nanoseconds since the epoch, as file times are counted.
        complain: told once why nothing is remembered, when that makes a large file be read every time.
        verify: whether to read every file once more, whatever is remembered of it.
    """

    def __init__(
        self,
        memory: Path | None,
        announce: Callable[[Path], None] = lambda _: None,
        clock: Callable[[], int] = time.time_ns,
        complain: Callable[[str], None] = lambda _: None,
        *,
        verify: bool = False,
    ) -> None:
        self._announce = announce
        self._clock = clock
        self._complain = complain
        self._verify = verify
        self._memory = _Memory(memory)
        self._read: dict[_Fingerprint, TextFacts] = {}  # by this process; a file of 50 GB is not read before every step

    def inspect(self, path: Path) -> TextFacts:
        """Return what a file holds, without reading it where that is known.

        Raises:
            WrongInputError: as `read_facts`.
        """
        before = _fingerprint(path)
        if before is not None:
            known = self._read.get(before) or (None if self._verify else self._memory.recall(before))
            if known is not None:
                return known
        self._announce(path)
        seen = self._clock()
        facts = read_facts(path)
        if before is not None and before == _fingerprint(path) and before.changed_ns < seen - _RACY_NS:
            self._read[before] = facts
            self._memory.keep(before, facts, seen)
        if before is not None and before.size >= LARGE and self._memory.trouble:
            self._complain(f"digests are not remembered, so large files are read every time: {self._memory.trouble}")
            self._complain = lambda _: None
        return facts


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """What tells that a file is the one that was read, unchanged."""

    device: int
    inode: int
    suffix: str
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def changed_ns(self) -> int:
        return max(self.mtime_ns, self.ctime_ns)


def _fingerprint(path: Path) -> _Fingerprint | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # reading it will say what is wrong
        return None
    # the suffix decides how bytes are decompressed, and two names of one inode may differ in it
    suffix = path.suffix if path.suffix in COMPRESSIONS else ""
    return _Fingerprint(found.st_dev, found.st_ino, suffix, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _Memory:
    """The table on disk. Whatever goes wrong with it, a file is read again: it is only a cache.

    What cannot be read is given up; what can be read and not written still serves. A damaged file is begun anew.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ready = False
        self._writable = True
        self.trouble = "" if path is not None else "this user has no home folder"

    def recall(self, file: _Fingerprint) -> TextFacts | None:
        query = (
            "SELECT digest, lines, crlf FROM files WHERE device = ? AND inode = ? AND suffix = ?"
            " AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        )
        try:
            rows = self._execute(query, astuple(file))
        except (sqlite3.Error, OSError) as error:
            self._path, self.trouble = None, f"{self._path}: {error}"
            return None
        return TextFacts(*rows[0]) if rows else None

    def keep(self, file: _Fingerprint, facts: TextFacts, now: int) -> None:
        if not self._writable:
            return
        row = (*astuple(file), *astuple(facts), now)
        try:
            self._execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._execute(_FORGET, (_MOST, _MOST // 2))
        except (sqlite3.Error, OSError) as error:
            self._writable, self.trouble = False, f"{self._path}: {error}"

    def _execute(self, statement: str, values: tuple[int | str, ...]) -> list[tuple[str, int, int]]:
        if self._path is None:
            return []
        try:
            return self._ask(self._path, statement, values)
        except OverflowError:  # SQLite counts to 2^63, and some file systems number beyond: such a file is read again
            return []
        except sqlite3.OperationalError:  # locked or not writable: leave it as it is
            raise
        except sqlite3.DatabaseError:  # no database, or a broken one, which may show late: begin anew
            self._ready = False
            durable.remove_file(self._path.with_name(f"{self._path.name}-journal"))  # or it would be played back
            durable.remove_file(self._path)
            return self._ask(self._path, statement, values)

    def _ask(self, path: Path, statement: str, values: tuple[int | str, ...]) -> list[tuple[str, int, int]]:
        if not self._ready:
            durable.make_folder(path.parent)
        with closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)) as connection:
            if not self._ready:
                self._create(connection)
                self._ready = True
            rows: list[tuple[str, int, int]] = connection.execute(statement, values).fetchall()
            return rows

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        """Make the table where there is none, anew where it is of another version of specforge."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == _FORMAT:
            return
        connection.executescript(
            f"BEGIN IMMEDIATE; DROP TABLE IF EXISTS files; {_TABLE}; PRAGMA user_version = {_FORMAT}; COMMIT"
        )
