"""Where keys and values stand: by hand on small documents, by law on generated ones."""

from __future__ import annotations

import json
import sys
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.language.text.spans import SourceText, Span, scan

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib

Tree: TypeAlias = "dict[str, int | str | list[int] | Tree]"

DOCUMENT = """\
title = "a # no comment"   # a comment
servers.alpha.ip = '10.0.0.1'

[owner]
born = 1979-05-27 07:32:00
"full name" = { first = "Tom", last = 'P' }

[[product.item]]
sizes = [
  1,  # small
  2,
]
[product.item.extra]
note = \"\"\"two "quotes" at the end\"\"\"\"\"

[[product.item]]
name = "second"
"""


def text_at(path: tuple[str | int, ...]) -> str:
    span = scan(DOCUMENT).value(path)
    assert span is not None
    return DOCUMENT[span.start : span.end]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("title",), '"a # no comment"'),
        (("servers", "alpha", "ip"), "'10.0.0.1'"),
        (("servers", "alpha"), "alpha"),
        (("owner",), "owner"),
        (("owner", "born"), "1979-05-27 07:32:00"),
        (("owner", "full name", "last"), "'P'"),
        (("product", "item", 0, "sizes"), "[\n  1,  # small\n  2,\n]"),
        (("product", "item", 0, "sizes", 1), "2"),
        (("product", "item", 0, "extra", "note"), '"""two "quotes" at the end"""""'),
        (("product", "item", 1), "item"),
        (("product", "item", 1, "name"), '"second"'),
    ],
)
def test_a_value_is_found_or_the_header_of_its_table(path: tuple[str | int, ...], expected: str) -> None:
    assert expected == text_at(path)


def test_a_key_is_found_as_it_was_typed() -> None:
    index = scan(DOCUMENT)

    assert index.key(("owner", "full name")) == Span(DOCUMENT.index('"full name"'), DOCUMENT.index(" = { first"))
    assert index.key(("product", "item", 0, "sizes", 0)) == index.values["product", "item", 0, "sizes", 0]


def test_what_is_not_there_is_looked_for_in_the_nearest_table() -> None:
    index = scan(DOCUMENT)

    assert index.known_prefix(("owner", "full name", "middle")) == ("owner", "full name")
    assert index.known_prefix(("nobody", "knows")) == ()


def test_lines_and_columns_count_from_one() -> None:
    text = SourceText("a.toml", "x = 1\n\nyy = 22")

    assert [text.line_and_column(position) for position in (0, 4, 6, 7, 12)] == [(1, 1), (1, 5), (2, 1), (3, 1), (3, 6)]
    assert [text.line(number) for number in (1, 2, 3)] == ["x = 1", "", "yy = 22"]


keys = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=4)
values = (
    st.integers(-9, 9)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=6)
    | st.lists(st.integers(0, 9), max_size=3)
)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(keys, values, max_size=3),
    lambda inner: st.dictionaries(keys, values | inner, max_size=3),
    max_leaves=6,
)


def quoted(value: object) -> str:
    """Write a string, a number or a list of numbers; JSON's spelling is TOML's."""
    return json.dumps(value, ensure_ascii=False)


def as_headers(tree: Tree, path: tuple[str, ...] = ()) -> str:
    """Write a tree with a header for every table."""
    lines = ["[" + ".".join(quoted(part) for part in path) + "]"] if path else []
    lines += [f"{quoted(key)} = {quoted(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    tables = [as_headers(value, (*path, key)) for key, value in tree.items() if isinstance(value, dict)]
    return "\n".join([*lines, *tables])


def as_inline(value: object) -> str:
    """Write a value on one line, tables in braces."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {as_inline(child)}" for key, child in value.items()) + "}"
    return quoted(value)


def as_dotted(tree: Tree, path: tuple[str, ...] = ()) -> str:
    """Write a tree with dotted keys only; empty tables get lost."""
    lines = []
    for key, value in tree.items():
        here = (*path, key)
        if isinstance(value, dict):
            lines.append(as_dotted(value, here))
        else:
            lines.append(".".join(quoted(part) for part in here) + f" = {quoted(value)}")
    return "\n".join(line for line in lines if line)


@given(trees)
def test_every_value_parses_back_from_its_span(tree: Tree) -> None:
    inline = "\n".join(f"{quoted(key)} = {as_inline(value)}" for key, value in tree.items())
    for text in (as_headers(tree), inline, as_dotted(tree)):
        data = tomllib.loads(text)
        index = scan(text)
        pending: list[tuple[tuple[str | int, ...], object]] = [((key,), value) for key, value in data.items()]
        while pending:
            path, value = pending.pop()
            assert path in index.keys or path in index.values
            span = index.values.get(path)
            if span is not None:
                assert value == tomllib.loads(f"value = {text[span.start : span.end]}")["value"]
            if isinstance(value, dict):
                pending += [((*path, key), child) for key, child in value.items()]
            elif isinstance(value, list):
                pending += [((*path, index), child) for index, child in enumerate(value)]
