"""Tensors compared by name and shape."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from specforge.planning.comparison.compatibility import (
    Fit,
    Loading,
    Reshaped,
    fit,
    same_validation_text,
    same_vocabulary,
)

SHAPES = {"embedding": [10, 8], "layer.0": [8, 8], "bias": [8]}


def test_equal_shapes_load() -> None:
    found = fit(SHAPES, dict(SHAPES))

    assert Fit(3, (), (), ()) == found
    assert (True, 3) == (found.loads, found.needed)


def test_every_kind_of_misfit_is_named() -> None:
    found = fit(SHAPES, {"embedding": [12, 8], "layer.1": [8, 8], "bias": [8]})

    assert Fit(1, (Reshaped("embedding", (10, 8), (12, 8)),), ("layer.0",), ("layer.1",)) == found
    assert (False, 3) == (found.loads, found.needed)


def test_the_other_way_round_is_the_mirror_image() -> None:
    other = {"embedding": [12, 8], "layer.1": [8, 8], "bias": [8]}
    there, back = fit(SHAPES, other), fit(other, SHAPES)

    assert (there.alike, there.only_before, there.only_after) == (back.alike, back.only_after, back.only_before)
    assert [(one.name, one.after, one.before) for one in there.reshaped] == [
        (one.name, one.before, one.after) for one in back.reshaped
    ]


@pytest.mark.parametrize(
    ("guessed", "by_vocabulary", "other", "loads"),
    [
        (False, 1, {"embedding": [12, 8]}, False),
        (True, 1, {"embedding": [12, 8]}, None),  # the guess alone stands against it
        (True, 1, {"embedding": [12, 8], "bias": [9]}, False),  # the bias is no matter of the vocabulary
        (True, 1, {"embedding": [12, 8], "more": [1]}, False),
        (True, 0, {}, True),
    ],
)
def test_a_guessed_vocabulary_decides_nothing(
    guessed: bool,  # noqa: FBT001  # a column of the table
    by_vocabulary: int,
    other: dict[str, list[int]],
    loads: bool | None,  # noqa: FBT001
) -> None:
    found = Loading(fit(SHAPES, {**SHAPES, **other}), {}, by_vocabulary, (), same_text=None, guessed=(False, guessed))

    assert loads is found.loads


def manifest(**files: str) -> dict[str, JsonValue]:
    digests: JsonValue = {name.replace("_", ".").replace("..", "/"): {"sha256": text} for name, text in files.items()}
    return {"files": digests, "config": {"tokenizer": {"vocab_size": 4}}, "components": {"tokenizer": "a@1"}}


def test_vocabularies_are_equal_by_what_is_in_their_files() -> None:
    one = manifest(vocabulary_source_txt="1", tokenizer__model="2", train_source_bin="3", valid_source_txt="4")
    other = manifest(vocabulary_source_txt="1", tokenizer__model="2", train_source_bin="5", valid_source_txt="6")

    assert same_vocabulary(one, other)
    assert not same_validation_text(one, other)
    assert not same_vocabulary(one, {**other, "config": {"tokenizer": {"vocab_size": 5}}})
    assert not same_vocabulary(one, {**other, "components": {"tokenizer": "a@2"}})
    for name in ("vocabulary_source_txt", "tokenizer__model"):
        changed = {"vocabulary_source_txt": "1", "tokenizer__model": "2"} | {name: "7"}
        assert not same_vocabulary(one, manifest(**changed))
    assert same_validation_text(one, one)


def test_what_is_not_there_is_not_known() -> None:
    assert same_vocabulary(manifest(), None) is None
    assert same_validation_text(None, manifest()) is None
