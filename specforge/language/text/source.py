"""A spec file or a `--set` argument, read: its text within limits, its values as JSON.

Whatever a file holds, reading it ends in values or in a few clear lines, in well under a second and without a traceback.
"""

from __future__ import annotations

import codecs
import errno
import math
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from specforge.foundation.errors import from_os_error
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic, Label, SpecError
from specforge.language.messages.suggest import nearest
from specforge.language.text.limits import DEEPEST, LARGEST_FILE, over_limit
from specforge.language.text.spans import SourceText, Span, SpanIndex, scan

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import ValuePath

_INT64: Final = 1 << 63
_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LOOKS_LIKE_UTF16: Final = "this looks like UTF-16; save the file as UTF-8"


@dataclass(frozen=True)
class Source:
    """A document that was read.

    Args:
        text: its text under the name that people know.
        layer: `spec` for a file, `set` for a `--set` argument.
        folder: where relative paths in it start from.
        data: its values, all of them JSON; what is none stands there as None.
        faults: the diagnostics of these.
        faulty: their paths.
        scanned: the text as it was parsed, where that is another: what is wrong in it was written over, place by place.
    """

    text: SourceText
    layer: Literal["spec", "set"]
    folder: Path
    data: dict[str, JsonValue]
    faults: tuple[Diagnostic, ...] = ()
    faulty: frozenset[ValuePath] = field(default_factory=frozenset)
    scanned: str | None = None

    @cached_property
    def index(self) -> SpanIndex:
        """Where its keys and values stand."""
        return scan(self.text.text if self.scanned is None else self.scanned)

    @property
    def end(self) -> Span:
        """The place behind its last word, where something that is missing may be added."""
        position = len(self.text.text.rstrip())
        return Span(position, position)


def read_source(path: Path, name: str) -> Source:
    """Read a spec file.

    Args:
        path: the file.
        name: what to call it in diagnostics.

    Raises:
        SpecError: SF501, SF507 (no such file, no regular file), SF502 (not UTF-8), SF104 (not TOML), SF105 (over a limit).
        EnvironmentFaultError: the system does not let us read it.
    """
    return parse_source(decode_source(_read_bytes(path, name), name), "spec", path.parent.absolute(), recover=True)


def decode_source(raw: bytes, name: str) -> SourceText:
    """Return the bytes of a file as text, without a byte order mark, its line ends LF.

    Raises:
        SpecError: SF502 (not UTF-8).
    """
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SpecError([_not_utf8(raw, name, error)]) from error
    if "\0" in text:
        position = text.index("\0")
        label = Label(SourceText(name, text), Span(position, position + 1), "NUL")
        raise SpecError([Diagnostic("SF502", "not text", (label,), help=_LOOKS_LIKE_UTF16)])
    return SourceText(name, text)


def parse_source(text: SourceText, layer: Literal["spec", "set"], folder: Path, *, recover: bool = False) -> Source:
    """Parse a text that is small enough to be in memory.

    Args:
        text: the text.
        layer: what it is.
        folder: where relative paths in it start from.
        recover: whether to read on behind mistakes of syntax where that is safe; they are among the faults of the source.

    Raises:
        SpecError: SF104 (not TOML), SF105 (over a limit).
    """
    excess = over_limit(text.text)
    if excess is not None:
        message, position = excess
        raise SpecError([Diagnostic("SF105", message, (Label(text, Span(position, position + 1)),))])
    read = _parsed(text, recover=recover)
    if _depth(read.values) > DEEPEST:
        message = f"tables more than {DEEPEST} deep inside one another"
        raise SpecError([Diagnostic("SF105", message, (Label(text, None),))])
    faults = dict(_not_json(read.values))
    source = Source(text, layer, folder, cast("dict[str, JsonValue]", _as_json(read.values)), scanned=read.text)
    if not faults and not read.slips:
        return source
    diagnostics = list(read.slips)
    for path, (message, help) in faults.items():
        span = source.index.value(source.index.known_prefix(path))
        if span not in read.replaced:
            diagnostics.append(Diagnostic("SF103", message, (Label(text, span, "not allowed here"),), help=help))
    return replace(source, faults=tuple(diagnostics), faulty=frozenset(faults))


@dataclass(frozen=True, slots=True)
class _Read:
    """What a parser made of a text.

    Args:
        values: its values.
        text: what was parsed: the text, wrong statements stepped over.
        slips: what was wrong with these.
        replaced: where a value stands in the place of a wrong one.
    """

    values: dict[str, object]
    text: str
    slips: tuple[Diagnostic, ...] = ()
    replaced: frozenset[Span] = frozenset()


def _parsed(text: SourceText, *, recover: bool) -> _Read:
    try:
        return _Read(cast("dict[str, object]", tomllib.loads(text.text)), text.text)
    except tomllib.TOMLDecodeError as error:
        from specforge.language.text.recovery import Stumbled, read_past  # only where something is wrong
        from specforge.language.text.syntax import not_toml

        if not recover:
            raise SpecError([not_toml(text, error)]) from error
        try:
            values, patched, slips, replaced = read_past(text)
        except Stumbled as stumbled:
            raise SpecError(stumbled.diagnostics) from error
        return _Read(values, patched.text, tuple(slips), frozenset(replaced))


def _read_bytes(path: Path, name: str) -> bytes:
    whole = SourceText(name, "")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # asked before opening: opening a pipe would wait for its writer
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise SpecError([Diagnostic("SF507", f"a spec is a TOML file, and this is {kind}", (Label(whole, None),))])
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise SpecError(
            [Diagnostic("SF501", "no such file", (Label(whole, None),), help=_nearest_file(path, name))]
        ) from None
    except ValueError as error:  # a NUL in the name
        raise SpecError([Diagnostic("SF501", f"no such file: {error}", (Label(whole, None),))]) from error
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            message = f"no such file: {str(error.strerror).lower()}"
            raise SpecError([Diagnostic("SF501", message, (Label(whole, None),))]) from error
        raise from_os_error(error) from error
    if len(raw) > LARGEST_FILE:
        message = f"larger than {LARGEST_FILE:,} bytes; a spec is a few lines that name data, not the data"
        raise SpecError([Diagnostic("SF105", message, (Label(whole, None),))])
    return raw


def _nearest_file(path: Path, name: str) -> str | None:
    try:
        names = {entry.stem: entry.name for entry in path.parent.iterdir() if entry.suffix == ".toml"}
    except OSError:
        return None
    near = nearest(path.name.removesuffix(".toml"), names)
    return f"did you mean `{printable(str(Path(name).with_name(names[near])))}`?" if near else None


def _not_utf8(raw: bytes, name: str, error: UnicodeDecodeError) -> Diagnostic:
    # What stands before the first wrong byte is right, and shows the line.
    before = raw[: error.start].decode(errors="replace").replace("\r\n", "\n")
    text = SourceText(name, before + "\N{REPLACEMENT CHARACTER}")
    help_text = _LOOKS_LIKE_UTF16 if raw[:2] in _UTF16_MARKS else "save the file as UTF-8"
    span = Span(len(before), len(before) + 1)
    label = Label(text, span, f"byte 0x{raw[error.start]:02x}")
    return Diagnostic("SF502", "not UTF-8", (label,), help=help_text)


def _depth(value: object) -> int:
    """Return how deep tables and arrays stand in one another, counted without recursion."""
    depth = 0
    level = [value]
    while level:
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        depth += bool(level)
    return depth


def _not_json(value: object, path: ValuePath = ()) -> Iterator[tuple[ValuePath, tuple[str, str | None]]]:
    """Yield path, message and help of each value that JSON, and so a spec, does not have."""
    match value:
        case dict():
            for key, child in value.items():
                yield from _not_json(child, (*path, key))
        case list():
            for index, child in enumerate(value):
                yield from _not_json(child, (*path, index))
        case bool() | str():
            pass
        case int() if not -_INT64 <= value < _INT64:
            yield path, ("a whole number beyond 64 bits", None)
        case float() if math.isnan(value):
            yield path, ("`nan` is no value of a spec", None)
        case float() if math.isinf(value):
            yield path, ("a number that is infinite, or too large to be told from that", None)
        case int() | float():
            pass
        case _:
            yield path, ("a spec has no dates or times", "write it as text, in quotes")


def _as_json(value: object) -> JsonValue:
    """Return parsed values with None in place of what JSON does not have."""
    match value:
        case dict():
            return {key: _as_json(child) for key, child in value.items()}
        case list():
            return [_as_json(child) for child in value]
        case str() | bool():
            return value
        case int():
            return value if -_INT64 <= value < _INT64 else None
        case float():
            return value if math.isfinite(value) else None
        case _:
            return None
