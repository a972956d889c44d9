"""The layers of a spec, weakest first: the files that it extends, the file itself, each `--set`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.foundation.errors import Place
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import Diagnostic, Label, SpecError
from specforge.language.normalise import Normalised, normalise
from specforge.language.text.limits import MOST_ENTRIES
from specforge.language.text.source import Source, parse_source, read_source
from specforge.language.text.spans import SourceText, Span

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.spec import ValuePath

MOST_FILES: Final = 32
"""Files that one spec may be made of."""

SET_NAME: Final = "--set"

_EXTENDS: Final = "extends"
_UNSET: Final = "unset"
_NAME: Final = "name"
_OPENING: Final = ('"', "'", "[", "{")
_ASSIGNMENT: Final = re.compile(r"\s*([A-Za-z0-9_.\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Unset:
    """A path that `unset` names, and where it stands in that list."""

    path: ValuePath
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One source of values.

    Args:
        source: what was read.
        document: its values in the one form.
        unset: what it removes from the layers below before its own values come on top.
    """

    source: Source
    document: Normalised
    unset: tuple[Unset, ...] = ()

    def contains(self, path: ValuePath) -> bool:
        """Return whether this layer says something at a path."""
        return bool(self.found(path))

    def found(self, path: ValuePath) -> list[JsonValue]:
        """Return what this layer says at a path, alone in a list, or an empty list."""
        value: JsonValue = self.document.tree
        for part in path:
            if isinstance(value, dict) and str(part) in value:
                value = value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return []
        return [value]

    def label(self, path: ValuePath, text: str = "", *, key: bool = False, primary: bool = True) -> Label:
        """Return a label at what was typed for a path: its value, or its key; the nearest that was typed, if need be."""
        typed = self.document.typed_path(path)
        if key:
            typed = self.document.typed_keys.get(path, typed)
        known = self.source.index.known_prefix(typed)
        if key and known == typed:
            return Label(self.source.text, self.source.index.key(typed), text, primary)
        return Label(self.source.text, self.source.index.value(known), text, primary)

    def is_faulty(self, path: ValuePath) -> bool:
        """Return whether reading the source found fault with the value at a path, so that no more need be said."""
        typed = self.document.typed_path(path)
        return any(typed[:length] in self.source.faulty for length in range(1, len(typed) + 1))


@dataclass(slots=True)
class Stack:
    """All layers of a spec.

    Args:
        layers: weakest first.
        diagnostics: what was wrong with reading them.
        texts: the text of each source, in the order in which people think of them: the spec, what it extends, `--set`.
        complete: whether every file that is extended could be read; if not, what is missing may stand there.
        extended: name of each file that is extended → where that is said.
    """

    layers: list[Layer] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    texts: list[SourceText] = field(default_factory=list)
    complete: bool = True
    extended: dict[str, Place] = field(default_factory=dict)
    _visited: set[Path] = field(default_factory=set)
    _values: int = 0

    def add_file(self, source: Source, chain: tuple[Path, ...]) -> None:
        """Add a file's layer on top of those of the files that it extends.

        A file that is reached in several ways counts once, where it is first met, so that what is set over it stays.

        Args:
            source: the file, read.
            chain: real paths of the file and of those that led to it, the spec first.
        """
        self._visited.add(chain[-1])
        self.texts.append(source.text)
        self.diagnostics += source.faults
        for index, value in self._strings(source, _EXTENDS, "a path or a list of paths"):
            path: ValuePath = (_EXTENDS,) if index is None else (_EXTENDS, index)
            try:
                self._extend(source, value, Label(source.text, source.index.value(path)), chain)
            except SpecError as error:
                self.complete = False
                self.diagnostics += error.diagnostics
        not_values = {_EXTENDS, _UNSET} if len(chain) == 1 else {_EXTENDS, _UNSET, _NAME}  # a label is of one file
        document = normalise({key: value for key, value in source.data.items() if key not in not_values})
        self.layers.append(Layer(source, document, tuple(self._unsets(source))))

    def add_assignment(self, text: str) -> None:
        """Add the layer of one `--set` argument."""
        typed = SourceText(SET_NAME, text.replace("\r\n", "\n"))
        self.texts.append(typed)
        try:
            source = _read_assignment(typed)
        except SpecError as error:
            self.diagnostics += error.diagnostics
            return
        self.diagnostics += source.faults
        document = normalise({key: value for key, value in source.data.items() if key != _UNSET})
        self.layers.append(Layer(source, document, tuple(self._unsets(source))))

    def rank(self, text: SourceText) -> int:
        """Return the place of a text among the sources; one that could not be read comes last."""
        return self.texts.index(text) if text in self.texts else len(self.texts)

    def with_way(self, diagnostic: Diagnostic) -> Diagnostic:
        """Return a diagnostic that says, where it is about a file that is extended, how the spec comes to that."""
        place = self.extended.get(diagnostic.labels[0].source.name) if diagnostic.labels else None
        if place is None:
            return diagnostic
        return replace(diagnostic, notes=(*diagnostic.notes, f"this file is extended at {place}"))

    def _extend(self, source: Source, value: str, label: Label, chain: tuple[Path, ...]) -> None:
        path = source.folder / value
        name = os.path.join(os.path.dirname(source.text.name), value)  # noqa: PTH118, PTH120  # pathlib would drop a `./`
        if "\0" in value:
            raise SpecError([Diagnostic("SF106", "cannot extend a file whose name holds NUL", (label,))])
        real = Path(os.path.realpath(path))
        if real in chain:
            names = " → ".join(printable(step.name) for step in (*chain[chain.index(real) :], real))
            raise SpecError([Diagnostic("SF106", "a spec extends itself", (label,), (names,))])
        if real in self._visited:
            return
        if len(self._visited) >= MOST_FILES:
            raise SpecError([Diagnostic("SF105", f"a spec made of more than {MOST_FILES} files", (label,))])
        try:
            parent = read_source(path, name)
        except SpecError as error:
            first = error.diagnostics[0]
            if first.labels[0].span is not None:
                raise
            message = f"cannot extend `{printable(value)}`: {first.message}"
            raise SpecError([Diagnostic("SF106", message, (label,), (), first.help)]) from error
        self._values += _count(parent.data)
        if self._values > MOST_ENTRIES:
            message = f"a spec with more than {MOST_ENTRIES:,} values in the files that it extends"
            raise SpecError([Diagnostic("SF105", message, (label,))])
        self.extended[name] = label.place
        self.add_file(parent, (*chain, real))

    def _unsets(self, source: Source) -> Iterator[Unset]:
        for index, value in self._strings(source, _UNSET, "a list of dotted paths"):
            yield Unset(tuple(part.strip() for part in value.split(".")), index or 0)

    def _strings(self, source: Source, key: str, expected: str) -> Iterator[tuple[int | None, str]]:
        """Yield the strings of a root key that holds one or a list of them, with their index in the list."""
        value = source.data.get(key, [])
        if isinstance(value, str):
            yield None, value
            return
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            if isinstance(item, str):
                yield index, item
                continue
            path: ValuePath = (key, index) if isinstance(value, list) else (key,)
            if path not in source.faulty:
                label = Label(source.text, source.index.value(source.index.known_prefix(path)), f"expected {expected}")
                self.diagnostics.append(Diagnostic("SF103", f"`{key}` has a wrong type", (label,)))


def read_layers(path: Path, assignments: Sequence[str], text: str | None = None) -> Stack:
    """Read a spec, what it extends, and the `--set` arguments.

    Args:
        path: the spec file as typed.
        assignments: the arguments, in order; later ones are stronger.
        text: the text to take instead of what the file holds.

    Raises:
        SpecError: the spec file itself cannot be read or parsed; all else is left in the stack's diagnostics.
    """
    stack = Stack()
    name = str(path)
    source = (
        read_source(path, name)
        if text is None
        else parse_source(SourceText(name, text), "spec", path.parent.absolute())
    )
    stack.add_file(source, (Path(os.path.realpath(path)),))
    for assignment in assignments:
        stack.add_assignment(assignment)
    return stack


def _read_assignment(text: SourceText) -> Source:
    whole = Label(text, Span(0, len(text.text)))
    found = _ASSIGNMENT.fullmatch(text.text)
    if found is None:
        help_text = "write --set 'train.max_updates=500'"
        raise SpecError(
            [Diagnostic("SF108", f"`{printable(text.text)}` is not of the form path=value", (whole,), help=help_text)]
        )
    try:
        source = parse_source(text, "set", Path.cwd())
    except SpecError as error:
        first = error.diagnostics[0]
        if first.code != "SF104":
            raise
        raise SpecError([_not_a_value(found[1].strip(), found[2].strip(), first)]) from error
    if _EXTENDS in source.data:
        raise SpecError([Diagnostic("SF108", "`extends` belongs in a file", (whole,))])
    if not _is_one_assignment(source):
        raise SpecError([Diagnostic("SF108", "one `--set` takes one path=value", (whole,))])
    return source


def _not_a_value(path: str, value: str, fault: Diagnostic) -> Diagnostic:
    from specforge.language.text.syntax import NEEDS_QUOTES  # only where something is wrong

    if not value:
        return Diagnostic("SF108", "no value stands behind the `=`", fault.labels, help="write --set 'path=value'")
    if value.startswith(_OPENING) or fault.labels[0].text not in {NEEDS_QUOTES, ""}:  # what is wrong is not a quote
        return Diagnostic("SF108", f"the value is {fault.message}", fault.labels, help=fault.help)
    return Diagnostic("SF108", "the value is no TOML", fault.labels, help=_quoted(path, value))


def _quoted(path: str, value: str) -> str:
    """Return what to type instead of a value without quotes."""
    import shlex  # only where something is wrong

    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    argument = f'{path}="{escaped}"'
    return f"text needs quotes, and the shell needs its own: --set {shlex.quote(argument)}"


def _count(value: JsonValue) -> int:
    """Return how many values stand in a document, tables and elements of arrays among them."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, children))


def _is_one_assignment(source: Source) -> bool:
    """Return whether the text is one key with one value, and not a small document."""
    first = min(source.index.values.values())
    return first.end == len(source.text.text.rstrip())
