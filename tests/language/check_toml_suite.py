"""Checks our reading of TOML against the files of the public conformance suite, toml-lang/toml-test.

    python tests/language/check_toml_suite.py FOLDER_OR_TAR_GZ

The argument holds `files-toml-1.0.0`, `files-toml-1.1.0`, `valid/` and `invalid/`, perhaps below a folder `tests`. Every
valid file of both lists must be within our limits, every path in it must have a span, and the text under each value's span
must parse back to that value. Every invalid file of the list of TOML 1.1, which is what we read, must be refused with a
diagnostic. Exit 1 when one of them is not as it should be.
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from specforge.language.messages.diagnostics import SpecError, render
from specforge.language.text.source import decode_source, parse_source
from specforge.language.text.spans import SpanIndex, scan

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

ValuePath = tuple[str | int, ...]

LISTS = ("files-toml-1.0.0", "files-toml-1.1.0")


@dataclass
class Report:
    """What was checked and what was wrong."""

    valid: int = 0
    invalid: int = 0
    paths: int = 0
    misses: list[str] = field(default_factory=list)


def read_suite(place: Path) -> Callable[[str], bytes]:
    """Return a function from a name below the suite's root to the bytes of that file."""
    if place.is_dir():
        root = place / "tests" if (place / "tests").is_dir() else place
        return lambda name: (root / name).read_bytes()
    with tarfile.open(place) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        contents = {name.removeprefix("tests/"): file.read() for name, file in files.items() if file is not None}
    return contents.__getitem__


def listed(read: Callable[[str], bytes], name: str) -> list[str]:
    """Return the names of the TOML files in a list."""
    return [line for line in read(name).decode().split("\n") if line.endswith(".toml")]


def check_suite(read: Callable[[str], bytes]) -> Report:
    """Check all files."""
    report = Report()
    valid = sorted({name for one in LISTS for name in listed(read, one) if name.startswith("valid/")})
    invalid = sorted(name for name in listed(read, LISTS[-1]) if name.startswith("invalid/"))
    for name in valid:
        report.valid += 1
        try:
            report.paths += check_spans(read(name))
        except (SpecError, AssertionError, IndexError) as error:
            report.misses.append(f"{name}: {type(error).__name__}: {error}")
    for name in invalid:
        report.invalid += 1
        try:
            parse_source(decode_source(read(name), name), "spec", Path())
        except SpecError as error:
            render(error.diagnostics)  # it can be shown, whatever the file holds
        else:
            report.misses.append(f"{name}: accepted")
    return report


def check_spans(raw: bytes) -> int:
    """Check the spans of a valid file; return how many paths it has.

    Raises:
        AssertionError: a path has no span, or a value's span does not parse back to it.
        SpecError: we refuse the file.
    """
    text = decode_source(raw, "file.toml")
    parse_source(text, "spec", Path())
    index = scan(text.text)
    count = 0
    for path, value in paths(tomllib.loads(text.text)):
        count += 1
        assert path in index.keys or path in index.values, f"no span for {path}"
        check_value(text.text, index, path, value)
    return count


def check_value(text: str, index: SpanIndex, path: ValuePath, value: object) -> None:
    """Check that the text under a value's span says that value."""
    span = index.values.get(path)
    if span is None:
        assert isinstance(value, dict | list), f"only tables go without a value in one piece: {path}"
        return
    typed = tomllib.loads(f"value = {text[span.start : span.end]}")["value"]
    assert repr(typed) == repr(value), f"{path}: {typed!r} instead of {value!r}"  # repr: nan is not equal to itself


def paths(value: object, path: ValuePath = ()) -> Iterator[tuple[ValuePath, object]]:
    """Yield path and value of everything in a document."""
    children: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        yield (*path, key), child
        yield from paths(child, (*path, key))


def main(arguments: list[str]) -> int:
    """Check the suite that the argument names and print the counts."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    report = check_suite(read_suite(Path(arguments[0])))
    for miss in report.misses:
        sys.stdout.write(f"MISS {miss}\n")
    counts = f"{report.valid} valid files with {report.paths} paths, {report.invalid} invalid files"
    sys.stdout.write(f"{counts}: {len(report.misses)} misses\n")
    return 1 if report.misses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
