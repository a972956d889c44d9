"""A spec file or a `--set` argument, read: its text within limits, its values as JSON.

Whatever a file holds, reading it ends in values or in a few clear lines, in well under a second and without a traceback.
"""

from __future__ import annotations

import codecs
import errno
import math
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from specforge.foundation.errors import from_os_error
from specforge.foundation.terminal import printable
from specforge.language.diagnostics import Diagnostic, Label, SpecError
from specforge.language.limits import DEEPEST, LARGEST_FILE, open_quote, over_limit
from specforge.language.spans import SourceText, Span, SpanIndex, scan
from specforge.language.suggest import nearest

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import ValuePath

NEEDS_QUOTES: Final = "text needs quotes"
"""The label of a bare word where a value is expected."""

_INT64: Final = 1 << 63
_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LOOKS_LIKE_UTF16: Final = "this looks like UTF-16; save the file as UTF-8"
_NO_ZERO: Final = re.compile(r"\.[0-9][0-9_]*([eE][+-]?[0-9]+)?")
_BARE_WORD: Final = re.compile(r"[A-Za-z_./~][^\s,\]}#\"'=]*")


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
    """

    text: SourceText
    layer: Literal["spec", "set"]
    folder: Path
    data: dict[str, JsonValue]
    faults: tuple[Diagnostic, ...] = ()
    faulty: frozenset[ValuePath] = field(default_factory=frozenset)

    @cached_property
    def index(self) -> SpanIndex:
        """Where its keys and values stand."""
        return scan(self.text.text)

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
    return parse_source(decode_source(_read_bytes(path, name), name), "spec", path.parent.absolute())


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


def parse_source(text: SourceText, layer: Literal["spec", "set"], folder: Path) -> Source:
    """Parse a text that is small enough to be in memory.

    Raises:
        SpecError: SF104 (not TOML), SF105 (over a limit).
    """
    excess = over_limit(text.text)
    if excess is not None:
        message, position = excess
        raise SpecError([Diagnostic("SF105", message, (Label(text, Span(position, position + 1)),))])
    try:
        parsed = cast("dict[str, object]", tomllib.loads(text.text))
    except tomllib.TOMLDecodeError as error:
        raise SpecError([_not_toml(text, error)]) from error
    if _depth(parsed) > DEEPEST:
        message = f"tables more than {DEEPEST} deep inside one another"
        raise SpecError([Diagnostic("SF105", message, (Label(text, None),))])
    faults = dict(_not_json(parsed))
    source = Source(text, layer, folder, cast("dict[str, JsonValue]", _as_json(parsed)))
    if not faults:
        return source
    diagnostics = tuple(
        Diagnostic(
            "SF103",
            message,
            (Label(text, source.index.value(source.index.known_prefix(path)), "not allowed here"),),
            help=help,
        )
        for path, (message, help) in faults.items()
    )
    return Source(text, layer, folder, source.data, diagnostics, frozenset(faults))


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


def _not_toml(text: SourceText, error: tomllib.TOMLDecodeError) -> Diagnostic:
    position = min(error.pos, len(text.text))
    word = _BARE_WORD.match(text.text, position)
    if error.msg == "Invalid value" and word is not None:
        words, written = _as_toml(word[0])
        label = Label(text, Span(position, word.end()), words)
        return Diagnostic("SF104", "not TOML: invalid value", (label,), help=f"write `{printable(written)}`")
    quote = open_quote(text.text) if position == len(text.text) else None
    if quote is not None:
        return Diagnostic("SF104", "not TOML: this string has no end", (Label(text, Span(quote, quote + 1)),))
    if error.msg == "Cannot overwrite a value":
        return Diagnostic("SF104", "not TOML: this key has a value already", (Label(text, _statement(text, position)),))
    if error.msg.startswith("Cannot declare"):
        label = Label(text, _statement(text, position))
        return Diagnostic("SF104", "not TOML: this table stands elsewhere already", (label,))
    reason = error.msg[:1].lower() + error.msg[1:]
    return Diagnostic("SF104", f"not TOML: {reason}", (Label(text, Span(position, position + 1)),))


def _as_toml(word: str) -> tuple[str, str]:
    """Return what is wrong with a word that is no value, and how to write it."""
    if word.lower() in {"true", "false"}:
        return "truth values are lower case", word.lower()
    if _NO_ZERO.fullmatch(word):
        return "a number begins with a digit", f"0{word}"
    return NEEDS_QUOTES, f'"{word}"'


def _statement(text: SourceText, position: int) -> Span:
    """Return the line before a position: the parser notices behind a statement that it may not stand there."""
    start = text.text.rfind("\n", 0, max(position - 1, 0)) + 1
    raw = text.line(text.line_and_column(start)[0])
    return Span(start + len(raw) - len(raw.lstrip()), start + len(raw.rstrip()))


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
