"""What points are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from specforge.language.naming import shortened
from specforge.language.schema.data import NAME_PATTERN
from specforge.language.sweeps.names import field_labels, point_name, typed_name

LR, DROPOUT = ("optimizer", "lr"), ("model", "dropout")


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        ([LR, DROPOUT], ["lr", "dropout"]),
        ([("generate", "search", "beam"), ("train", "valid_search", "beam")], ["search.beam", "valid_search.beam"]),
        ([("model", "use"), ("optimizer", "use"), LR], ["model", "optimizer", "lr"]),
        ([("data", "train", 0, "weight"), ("data", "train", 1, "weight")], ["train.0.weight", "train.1.weight"]),
        ([("data", "train", 0)], ["train.0"]),
        ([("seed",), ("model", "seed")], ["seed", "model.seed"]),
    ],
)
def test_a_field_is_called_by_its_shortest_ending_that_no_other_has(
    paths: list[tuple[str | int, ...]], labels: list[str]
) -> None:
    assert labels == list(field_labels(paths).values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5e-4, "0.0005"),
        (1e-5, "1e-5"),
        (1e22, "1e22"),
        (-0.5, "-0.5"),
        (-3, "-3"),
        (True, "true"),
        ("13a", "13a"),
        ("../corpora/big one", "corpora-big-one"),
        ("日本", "none"),
        ([0.9, 0.98], "0.9_0.98"),
        ([], "none"),
        ({"dropout": 0.1, "use": "fconv"}, "fconv_dropout-0.1"),
    ],
)
def test_a_value_in_a_name(value: JsonValue, text: str) -> None:
    assert f"base.lr-{text}" == point_name("base", {LR: value}, {LR: "lr"})


def test_a_long_name_ends_in_a_digest_of_all_of_it() -> None:
    first, second = (shortened("a" * 99 + end) for end in ("bc", "bd"))

    assert 100 == len(first) == len(second)
    assert first != second
    assert first == shortened("a" * 99 + "bc")
    assert "a" * 100 == shortened("a" * 100)


scalars = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(min_size=1), inner)), max_leaves=4
)


@given(values, values)
def test_every_name_may_name_a_folder(first: JsonValue, second: JsonValue) -> None:
    name = point_name("base", {LR: first, DROPOUT: second}, field_labels([LR, DROPOUT]))

    assert NAME_PATTERN.fullmatch(name)


def test_a_path_is_typed_with_dots() -> None:
    assert "generate.metrics.0.tokenize" == typed_name(("generate", "metrics", 0, "tokenize"))
