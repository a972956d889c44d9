"""What is wrong with a text that is not TOML, in words of the person who typed it.

A parser says where it stopped. What people meant there is mostly plain: YAML's colon, a word without quotes, `100,000`, a
quote that an editor made curly. Each is named, with what to type instead.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic, Label
from specforge.language.text.limits import open_bracket, open_quote
from specforge.language.text.spans import SourceText, Span, scan
from specforge.language.text.toml_text import toml_value

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

NEEDS_QUOTES: Final = "text needs quotes"
"""The label of a bare word where a value is expected."""

_CURLY: Final = "“”„‟‘’‚‛«»`´＂＇"
_WORD: Final = re.compile(r"[A-Za-z_./~*@%$-][^\s,\]}#\"'=]*")
_REST: Final = re.compile(r"[^#\n]*")
_NOTHING: Final = frozenset({"none", "null", "nil", "~", "undefined"})
_TRUTH: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_UNITS: Final = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000, "g": 1_000_000_000}
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]+[ \t]*=")
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]=#]*[^\[\]=#\s])")


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong: the sentence, the stretch, the words at it, and what to type instead."""

    message: str
    span: Span
    label: str = ""
    help: str | None = None
    first: Span | None = None  # where something stands already, or begins
    first_label: str = ""


def not_toml(text: SourceText, error: tomllib.TOMLDecodeError) -> Diagnostic:
    """Return the diagnostic of a text that the parser refused.

    Args:
        text: the text, within limits.
        error: what the parser says of it.
    """
    position = min(error.pos, len(text.text))
    fault = _fault(text.text, position, error.msg)
    labels = [Label(text, fault.span, fault.label)]
    if fault.first is not None:
        labels.append(Label(text, fault.first, fault.first_label, primary=False))
    return Diagnostic("SF104", f"not TOML: {fault.message}", tuple(labels), help=fault.help)


def _fault(text: str, position: int, message: str) -> _Fault:
    quote = open_quote(text) if position == len(text) else None
    if quote is not None:
        return _Fault("this string has no end", Span(quote, quote + 1))
    explain = next((explain for start, explain in _EXPLAINED if message.startswith(start)), None)
    if explain is not None:
        return explain(text, position)
    return _Fault(printable(message[:1].lower() + message[1:]), Span(position, position + 1))


def _invalid_value(text: str, position: int) -> _Fault:
    rest = _rest(text, position)
    here = Span(position, position + 1)
    opening = open_bracket(text[:position]) if _KEY.match(text, position) else None
    if opening is not None and text[opening] == "[":  # a new statement begins where an element is expected
        return _unclosed_array(text, position)
    if not rest or rest[0] == ",":
        return _Fault("no value stands behind the `=`", here)
    if rest[0] in _CURLY:
        inner = re.match(rf"[{_CURLY}]+([^{_CURLY}\n]*)[{_CURLY}]*", rest)
        assert inner is not None, "it begins with such a quote"
        fix = f"write `{toml_value(printable(inner[1]))}`"
        return _Fault(
            "invalid value", Span(position, position + inner.end()), 'strings stand in straight quotes: `"`', fix
        )
    if rest[0] == "=":
        return _Fault("invalid value", here, "one `=` is enough")
    if rest[0] == "(":
        inner = re.match(r"\(([^()]*)\)", rest)
        span = here if inner is None else Span(position, position + inner.end())
        array = None if inner is None else f"write `[{printable(inner[1].strip().removesuffix(','))}]`"
        return _Fault("invalid value", span, "arrays stand in square brackets", array)
    if re.fullmatch(r"\.[0-9][0-9_]*([eE][+-]?[0-9]+)?", rest):
        return _Fault(
            "invalid value", Span(position, position + len(rest)), "a number begins with a digit", f"write `0{rest}`"
        )
    return _bare_word(text, position, rest)


def _bare_word(text: str, position: int, rest: str) -> _Fault:
    word = _WORD.match(text, position)
    if word is None:
        return _Fault("invalid value", Span(position, position + 1))
    span = Span(position, word.end())
    low = word[0].lower()
    if low in {"true", "false"}:
        return _Fault("invalid value", span, "truth values are lower case", f"write `{low}`")
    if low in _TRUTH:
        return _Fault("invalid value", span, "truth values are `true` and `false`", f"write `{_TRUTH[low]}`")
    if low in _NOTHING:
        return _Fault("invalid value", span, "there is no null", "leave the key out: then it has its default")
    if word[0].startswith("$"):
        return _Fault("invalid value", span, "a spec has no variables", "write the value itself")
    if "(" in word[0]:
        return _Fault("invalid value", span, "a spec has no code", "write the value itself")
    stands_alone = "=" in text[text.rfind("\n", 0, position) + 1 : position].rstrip()[-1:] and not re.search(
        r"[\[\]{}]", rest
    )
    typed = rest if stands_alone else word[0]
    span = Span(position, position + len(typed)) if '"' not in typed and "'" not in typed else span
    typed = typed.strip("\"'")
    return _Fault("invalid value", span, NEEDS_QUOTES, f"write `{_written(typed)}`")


def _junk_behind(text: str, position: int) -> _Fault:
    start, line = _line(text, position)
    rest = _rest(text, position)
    junk = Span(position, position + max(1, len(rest)))
    if text[position] == "\r":
        return _Fault("a lone carriage return", Span(position, position + 1), "lines end in LF, or CR LF")
    if rest.startswith("//"):
        return _Fault("this does not belong to the statement before it", junk, "a comment begins with `#`")
    if line.lstrip().startswith("["):
        return _Fault("this does not belong to the header before it", junk, "a header stands alone on its line")
    equals = line.find("=")
    value_at = start + equals + 1
    typed = _rest(text, value_at).strip()
    where = Span(value_at + len(text[value_at:]) - len(text[value_at:].lstrip(" \t")), position + len(rest))
    number = _as_number(typed)
    if equals >= 0 and number is not None:
        words, written = number
        return _Fault("invalid value", where, words, f"write `{written}`")
    if rest in {",", ";"}:
        return _Fault(
            "this does not belong to the statement before it", junk, f"a statement ends with its line, without `{rest}`"
        )
    if equals >= 0 and typed[:1] in {'"', "'"}:
        help_text = 'a quote inside a string in double quotes is written `\\"`'
        return _Fault("this does not belong to the string before it", junk, "the string ended before this", help_text)
    if equals >= 0 and re.match(r"[0-9.]", typed):
        return _Fault("invalid value", where, NEEDS_QUOTES, f"write `{_written(typed)}`")
    return _Fault("this does not belong to the statement before it", junk, "a statement ends with its line")


def _as_number(typed: str) -> tuple[str, str] | None:
    """Return what is wrong with a number as people write it elsewhere, and how TOML writes it."""
    if re.fullmatch(r"[0-9]{1,3}([, '][0-9]{3})+", typed):
        return "digits are grouped by `_`", re.sub(r"[, ']", "_", typed)
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", typed):
        return "a number has a decimal point", typed.replace(",", ".")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?[kKmMbBgG]", typed):
        value = float(typed[:-1]) * _UNITS[typed[-1].lower()]
        return "a number is written out", toml_value(int(value) if value.is_integer() else value)
    if re.fullmatch(r"[+-]?0+[0-9]+(\.[0-9]+)?", typed):
        return "a number has no leading zeros", re.sub(r"^([+-]?)0+(?=[0-9])", r"\1", typed)
    if re.fullmatch(r"[+-]?[0-9]+\.([eE][+-]?[0-9]+)?", typed):
        return "a digit follows the decimal point", typed.replace(".", ".0")
    return None


def _no_equals_sign(text: str, position: int) -> _Fault:
    start, line = _line(text, position)
    key = text[start:position].strip().strip("-\"'")
    rest = _rest(text, position)
    here = Span(position, position + 1)
    if text[start:position].strip() == "-":
        return _Fault("expected a key and `=`", Span(position, position + max(1, len(rest))), "this looks like YAML")
    if rest.startswith(":") and not rest[1:].strip():
        return _Fault("expected `=` behind the key", here, "a table has a header", f"write `[{printable(key)}]`")
    value = rest.removeprefix(":").strip()
    if value and key and not re.search(r"[\[\]{}]", line):
        return _Fault(
            "expected `=` behind the key",
            here,
            "a key and its value are joined by `=`",
            f"write `{printable(key)} = {_written(value)}`",
        )
    return _Fault("expected `=` behind the key", here, "" if rest else "no `=` and no value follow")


def _no_statement(text: str, position: int) -> _Fault:
    rest = _rest(text, position)
    here = Span(position, position + 1)
    if not text[:position].strip() and rest.startswith("{"):
        return _Fault("expected a key or a header", here, "this looks like JSON")
    if rest.startswith((";", "//", "%", "/*")):
        return _Fault("expected a key or a header", here, "a comment begins with `#`")
    if rest[:1] in set(_CURLY):
        return _Fault("expected a key or a header", here, "keys need no quotes, or straight ones")
    return _Fault("expected a key or a header", here)


def _open_header(text: str, position: int) -> _Fault:
    _, line = _line(text, position)
    found = _HEADER.match(line)
    if found is None:
        return _Fault("this header has no end", Span(position, position + 1))
    closing = "]" * len(found[1])
    return _Fault(
        "this header has no end",
        Span(position, position + 1),
        f"`{closing}` is expected",
        f"write `{found[1]}{printable(found[2])}{closing}`",
    )


def _illegal_character(text: str, position: int) -> _Fault:
    if text[position : position + 1] != "\n":
        escaped = f"in a string it is written `\\u{ord(text[position]):04x}`" if position < len(text) else None
        return _Fault("a control character", Span(position, position + 1), help=escaped)
    start, line = _line(text, position)
    quote = open_quote(line)
    at = position if quote is None else start + quote
    return _Fault(
        "this string has no end",
        Span(at, max(position, at + 1)),
        f"`{text[at]}` is missing behind it" if quote is not None else "",
    )


def _backslash(text: str, position: int) -> _Fault:
    position = max(text.rfind("\\", 0, position + 1), 0)  # the parser stands behind the letter that follows it
    start = text.rfind('"', 0, position)
    end = text.find('"', position)
    inner = text[start + 1 : end]
    help_text = "write `\\\\` for a backslash"
    if 0 <= start < end and not {"'", "\n"} & set(inner):
        help_text += f", or put the text in single quotes: `'{printable(inner)}'`"
    return _Fault("a lone backslash in a string", Span(position, position + 1), "", help_text)


def _unclosed_array(text: str, position: int) -> _Fault:
    return _unclosed(text, position, "array", "]")


def _unclosed_table(text: str, position: int) -> _Fault:
    return _unclosed(text, position, "inline table", "}")


def _unclosed(text: str, position: int, what: str, closing: str) -> _Fault:
    opening = open_bracket(text[:position])
    here = Span(position, position + 1)
    if opening is None:
        return _Fault(f"this {what} has no end", here)
    if "\n" not in text[opening : position + 1] and position < len(text):
        return _Fault(f"expected `,` or `{closing}` here", here, "a `,` stands between elements")
    words = f"`,` or `{closing}` was expected before this"
    return _Fault(f"this {what} has no end", Span(opening, opening + 1), "opened here", None, here, words)


def _key_twice(text: str, position: int) -> _Fault:
    return _twice(text, position, "this key has a value already")


def _inline_key_twice(text: str, position: int) -> _Fault:
    return _Fault("a key stands twice in this table", _statement(text, position))


def _table_twice(text: str, position: int) -> _Fault:
    return _twice(text, position, "this table stands elsewhere already")


def _inline_table_again(text: str, position: int) -> _Fault:
    return _twice(text, position, "a table in braces is complete, and cannot be added to")


def _twice(text: str, position: int, message: str) -> _Fault:
    """Return the fault of a statement that says again what stands already, with the place of that."""
    statement = _statement(text, position)
    first = _first_place(text, statement)
    return _Fault(message, statement, first=first, first_label="it stands here first")


def _first_place(text: str, statement: Span) -> Span | None:
    """Return where what a statement is about stands before it, or None where that is inside of something."""
    before, typed = text[: statement.start], text[statement.start : statement.end]
    said = typed if typed.startswith("[") else f"{typed.partition('=')[0]}= 0"
    try:
        tomllib.loads(before)
        tomllib.loads(said)
    except tomllib.TOMLDecodeError:
        return None
    known = scan(before)
    everything = scan(f"{before}{said}")
    path = next((path for path, span in everything.values.items() if span.start > statement.start), None)
    path = _header_path(said) if path is None else path
    complete = (path[:length] for length in range(1, len(path) + 1) if path[:length] in known.values)
    return known.keys.get(next(complete, path))


def _header_path(header: str) -> tuple[str, ...]:
    path: tuple[str, ...] = ()
    table: object = tomllib.loads(header)
    while isinstance(table, dict | list) and table:
        if isinstance(table, dict):
            name, table = next(iter(table.items()))
            path = (*path, name)
        else:
            table = table[0]
    return path


def _written(typed: str) -> str:
    """Return what somebody typed as a TOML value: as it is where it is one, else in quotes."""
    clean = printable(typed.strip())
    try:
        tomllib.loads(f"key = {clean}")
    except tomllib.TOMLDecodeError:
        return toml_value(clean)
    return clean if clean and not clean.startswith("#") else toml_value(clean)


def _line(text: str, position: int) -> tuple[int, str]:
    """Return where the line around a position begins, and its text."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return start, text[start:] if end < 0 else text[start:end]


def _rest(text: str, position: int) -> str:
    """Return what stands from a position to the end of its line, without a comment."""
    found = _REST.match(text, position)
    return "" if found is None else found[0].rstrip()


def _statement(text: str, position: int) -> Span:
    """Return the line before a position: the parser notices behind a statement that it may not stand there."""
    start, line = _line(text, max(position - 1, 0))
    return Span(start + len(line) - len(line.lstrip()), start + len(line.rstrip()))


_EXPLAINED: Final[tuple[tuple[str, Callable[[str, int], _Fault]], ...]] = (
    ("Invalid value", _invalid_value),
    ("Expected newline or end of document", _junk_behind),
    ("Expected '=' after a key", _no_equals_sign),
    ("Expected ']", _open_header),
    ("Invalid statement", _no_statement),
    ("Invalid initial character for a key part", _no_statement),
    ("Illegal character", _illegal_character),
    ("Unescaped", _backslash),
    ("Unclosed array", _unclosed_array),
    ("Unclosed inline table", _unclosed_table),
    ("Cannot overwrite a value", _key_twice),
    ("Duplicate inline table key", _inline_key_twice),
    ("Cannot declare", _table_twice),
    ("Cannot redefine", _table_twice),
    ("Cannot mutate immutable", _inline_table_again),
)
"""How a message of the parser begins → who says it in our words, from the text and the place where the parser stopped."""
