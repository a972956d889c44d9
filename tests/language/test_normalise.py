"""Shorthands and where they were typed."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from specforge.language.normalise import normalise


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"model": "fconv"}, {"model": {"use": "fconv"}}),
        ({"train": {"valid_search": "beam"}}, {"train": {"valid_search": {"use": "beam"}}}),
        ({"generate": {"search": "greedy"}}, {"generate": {"search": {"use": "greedy"}}}),
        ({"generate": {"metrics": "bleu"}}, {"generate": {"metrics": [{"use": "bleu"}]}}),
        ({"generate": {"metrics": {"use": "bleu"}}}, {"generate": {"metrics": [{"use": "bleu"}]}}),
        ({"run": {"trackers": "a"}}, {"run": {"trackers": [{"use": "a"}]}}),
        (
            {"generate": {"metrics": ["bleu", {"use": "ter"}]}},
            {"generate": {"metrics": [{"use": "bleu"}, {"use": "ter"}]}},
        ),
        ({"data": {"train": "a"}}, {"data": {"train": [{"path": "a"}]}}),
        ({"data": {"train": {"path": "a"}}}, {"data": {"train": [{"path": "a"}]}}),
        (
            {"data": {"train": ["a", {"path": "b", "hold_out": 0.1}]}},
            {"data": {"train": [{"path": "a"}, {"path": "b", "hold_out": {"valid": 0.1}}]}},
        ),
        ({"data": {"valid": "a"}}, {"data": {"valid": {"path": "a"}}}),
        ({"data": {"test": "a"}}, {"data": {"test": {"test": {"path": "a"}}}}),
        (
            {"data": {"test": {"path": "a", "format": "tsv"}}},
            {"data": {"test": {"test": {"path": "a", "format": "tsv"}}}},
        ),
        (
            {"data": {"test": {"pth": "a", "format": "tsv"}}},
            {"data": {"test": {"test": {"pth": "a", "format": "tsv"}}}},
        ),
        (
            {"data": {"test": {"old": "a", "new": {"path": "b"}}}},
            {"data": {"test": {"old": {"path": "a"}, "new": {"path": "b"}}}},
        ),
        ({"data": {"test": {"path": {"path": "a"}}}}, {"data": {"test": {"path": {"path": "a"}}}}),
    ],
)
def test_each_shorthand_has_one_form(typed: dict[str, JsonValue], expected: dict[str, JsonValue]) -> None:
    normalised = normalise(typed)

    assert expected == normalised.tree
    assert expected == normalise(normalised.tree).tree  # the one form stays as it is


@pytest.mark.parametrize(
    "typed",
    [
        {"model": 3},
        {"data": "a"},
        {"data": {"train": 1, "valid": [], "test": ["a"]}},
        {"data": {"train": [1, {"path": "a", "hold_out": True}]}},
        {"generate": {"metrics": 1}},
        {"generate": 1, "train": None},
    ],
)
def test_what_has_no_such_shape_is_left_for_the_check(typed: dict[str, JsonValue]) -> None:
    assert typed == normalise(typed).tree


@pytest.mark.parametrize(
    ("typed", "path", "where"),
    [
        ({"model": "a"}, ("model", "use"), ("model",)),
        ({"model": {"use": "a"}}, ("model", "use"), ("model", "use")),
        ({"data": {"train": "a"}}, ("data", "train", 0, "path"), ("data", "train")),
        ({"data": {"train": {"path": "a"}}}, ("data", "train", 0, "path"), ("data", "train", "path")),
        ({"data": {"train": ["a", "b"]}}, ("data", "train", 1, "path"), ("data", "train", 1)),
        (
            {"data": {"train": {"path": "a", "hold_out": 0.1}}},
            ("data", "train", 0, "hold_out", "valid"),
            ("data", "train", "hold_out"),
        ),
        ({"data": {"test": "a"}}, ("data", "test", "test", "path"), ("data", "test")),
        (
            {"data": {"test": {"path": "a", "header": True}}},
            ("data", "test", "test", "header"),
            ("data", "test", "header"),
        ),
        ({"data": {"test": {"x": "a"}}}, ("data", "test", "x", "path"), ("data", "test", "x")),
        ({"generate": {"metrics": "a"}}, ("generate", "metrics", 0, "use"), ("generate", "metrics")),
        ({"generate": {"metrics": ["a"]}}, ("generate", "metrics", 0, "use"), ("generate", "metrics", 0)),
    ],
)
def test_a_rewritten_path_knows_where_it_was_typed(
    typed: dict[str, JsonValue], path: tuple[str | int, ...], where: tuple[str | int, ...]
) -> None:
    assert where == normalise(typed).typed_path(path)


def test_the_document_itself_is_not_changed() -> None:
    typed: dict[str, JsonValue] = {"data": {"train": "a", "test": {"path": "b"}}, "model": "c"}

    normalise(typed)

    assert typed == {"data": {"train": "a", "test": {"path": "b"}}, "model": "c"}
