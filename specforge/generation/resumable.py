"""A file that is written group by group and taken up where it stopped: killed at any moment, it ends up with the same bytes.

What is done so far stands in `FILE.partial`, and `FILE.partial.json` says how much of that counts, what it was made of, and
with what. Each group is on disk before the record that counts it. The end renames the partial file to FILE.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, Place, RefusedError
from specforge.foundation.terminal import printable
from specforge.generation.streaming import RawLine

_FORMAT: Final = 1
_CHUNK: Final = 1 << 20


class _Record(BaseModel):
    """What `FILE.partial.json` holds.

    Args:
        format: version of this record.
        made_by: what the output depends on besides its input.
        lines: input lines that are done.
        input: SHA-256 of these, an LF after each.
        bytes: of the partial file that count.
        output: SHA-256 of these.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: int
    made_by: dict[str, JsonValue]
    lines: int
    input: str
    bytes: int
    output: str


@dataclass(slots=True)
class ResumableFile:
    """An output that is being written; `resumable_file` opens it."""

    _file: IO[bytes]
    _record: Path
    _made_by: Mapping[str, JsonValue]
    _done: _Record | None
    _output: hashlib._Hash
    _bytes: int
    forgone: int = 0
    """Lines that an earlier process did, for nothing."""
    lines: int = 0
    _input: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def resumed(self) -> int:
        """How many lines an earlier process did."""
        return 0 if self._done is None else self._done.lines

    def rest(self, groups: Iterable[Sequence[RawLine]]) -> Iterator[Sequence[RawLine]]:
        """Yield the groups that are not done yet.

        Raises:
            RefusedError: SF723, the lines that are done are others than these.
        """
        done = self.resumed
        for group in groups:
            if self.lines >= done:
                yield group
                continue
            self._count(group)
            if self.lines >= done:
                self._check_input()
        if self.lines < done:
            raise self._other_input()

    def append(self, group: Sequence[RawLine], text: str) -> None:
        """Write what became of a group; when this returns, it is safe."""
        data = text.encode()
        durable.append_synced(self._file, data)
        self._output.update(data)
        self._bytes += len(data)
        self._count(group)
        record = _Record(
            format=_FORMAT,
            made_by=dict(self._made_by),
            lines=self.lines,
            input=self._input.hexdigest(),
            bytes=self._bytes,
            output=self._output.hexdigest(),
        )
        durable.replace_file(self._record, durable.json_text(record.model_dump(mode="json")))

    def _count(self, group: Sequence[RawLine]) -> None:
        for line in group:
            self._input.update(line.raw + b"\n")
        self.lines += len(group)

    def _check_input(self) -> None:
        assert self._done is not None
        if (self.lines, self._input.hexdigest()) != (self._done.lines, self._done.input):
            raise self._other_input()

    def _other_input(self) -> RefusedError:
        assert self._done is not None
        return RefusedError(
            "SF723",
            f"the first {self._done.lines:,} lines are not those that were translated",
            place=Place(str(self._record)),
            help=_START_OVER,
        )


_START_OVER: Final = "leave out `--resume` to start over"


@contextmanager
def resumable_file(path: Path, made_by: Mapping[str, JsonValue], *, resume: bool) -> Iterator[ResumableFile]:
    """Open an output; it appears under its name when the block ends without an error, and not before.

    Args:
        path: the file, which may exist: it stays what it is until then.
        made_by: what the output depends on besides its input.
        resume: whether what an earlier process left is taken up; else it is thrown away.

    Raises:
        RefusedError: SF723, what is there was made by something else; SF724, another process is writing it.
        CorruptStateError: SF614, SF613, what is there is not what its record says.
    """
    partial, beside = path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.partial.json")
    with durable.open_partial(partial) as file:
        _lock(file, partial)
        done = _read_record(beside, made_by) if resume else None
        forgone = 0 if resume else _lines_done(beside)
        if done is None:
            durable.remove_file(beside)
        output = hashlib.sha256() if done is None else _digest_of(partial, done)
        size = 0 if done is None else done.bytes
        durable.cut_off(file, size)
        yield ResumableFile(file, beside, made_by, done, output, size, forgone)
        durable.append_synced(file, b"")
        durable.move_file(partial, path)
        durable.remove_file(beside)


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(
            "SF724", "another process is writing this output", place=Place(str(path)), help="wait for its end"
        ) from None


def _read_record(path: Path, made_by: Mapping[str, JsonValue]) -> _Record | None:
    """Return what an earlier process got done, or None where there is nothing."""
    try:
        found = _Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CorruptStateError("SF614", "not the record of an output", place=Place(str(path))) from error
    asked: JsonValue = json.loads(json.dumps(made_by))
    assert isinstance(asked, dict)
    others = sorted(key for key in {*found.made_by, *asked} if found.made_by.get(key) != asked.get(key))
    if others:
        raise RefusedError(
            "SF723",
            f"what is there was made with another {_in_words(others)}",
            place=Place(str(path)),
            notes=tuple(
                f"{key}: {_shown(found.made_by.get(key))} then, {_shown(asked.get(key))} now" for key in others
            ),
            help=_START_OVER,
        )
    return found


def _lines_done(path: Path) -> int:
    """Return how many lines an earlier process got done, as far as that can be told."""
    try:
        return _Record.model_validate_json(path.read_bytes()).lines
    except (FileNotFoundError, ValidationError):
        return 0


def _in_words(names: Sequence[str]) -> str:
    *first, last = (name.replace("_", " ") for name in names)
    return f"{', '.join(first)} and {last}" if first else last


def _shown(value: JsonValue) -> str:
    return printable(json.dumps(value, ensure_ascii=False))


def _digest_of(path: Path, done: _Record) -> hashlib._Hash:
    """Read what counts of a partial file, and return its digest, to be continued."""
    digest = hashlib.sha256()
    left = done.bytes
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    if left or digest.hexdigest() != done.output:
        raise CorruptStateError(
            "SF613", "the file has changed since it was written", place=Place(str(path)), help=_START_OVER
        )
    return digest
