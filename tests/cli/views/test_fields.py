"""Facts of a config's fields, as `specforge components` shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field

from specforge.cli.views.fields import FieldFacts, fields_of, value_text
from specforge.language.registry import config_class, load_registry
from specforge.language.spec import Registered
from specforge.plugin import ComponentConfig, marked


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(ComponentConfig):
    depth: int = 1


Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Example(ComponentConfig):
    size: int = Field(ge=1, le=9, multiple_of=2, description="how large")
    share: float = Field(default=0.5, gt=0.0)
    limit: int | None = Field(default=None, ge=3)
    place: Literal["pre", "post"] = "pre"
    only: Literal[1] = 1
    colour: Colour = Colour.RED
    betas: tuple[Share, Share] = (0.9, 0.99)
    lengths: tuple[Share, Annotated[int, Field(ge=0)]] = (0.0, 200)
    widths: list[Annotated[int, Field(ge=1)]] = Field(default=[3, 3], min_length=1)
    either: bool | str = True
    inner: Inner = Inner()
    word: str = Field(default="", pattern="^a*$")
    threads: Annotated[int, marked(identity=False)] = 2
    budget: Annotated[int, marked(continues=True)] = 100


FACTS = {field.name: field for field in fields_of(Example)}


@pytest.mark.parametrize(
    ("name", "kind", "allowed"),
    [
        ("size", "integer", ">= 1, <= 9, a multiple of 2"),
        ("share", "float", "> 0.0"),
        ("limit", "integer", ">= 3"),
        ("place", '"pre" | "post"', ""),
        ("only", "1", ""),
        ("colour", '"red" | "blue"', ""),
        ("betas", "[float, float]", "each >= 0.0, < 1.0"),
        ("lengths", "[float, integer]", "each >= 0.0, < 1.0; >= 0"),
        ("widths", "array of integer", "at least 1 item, each >= 1"),
        ("either", "boolean or string", ""),
        ("inner", "table", ""),
        ("word", "string", "matches ^a*$"),
    ],
)
def test_type_and_range_are_said_in_words(name: str, kind: str, allowed: str) -> None:
    assert (kind, allowed) == (FACTS[name].type, FACTS[name].range)


def test_a_field_without_default_is_required() -> None:
    assert (
        FieldFacts("size", "integer", ">= 1, <= 9, a multiple of 2", True, None, "how large", True, False)
        == FACTS["size"]
    )
    assert ["size"] == [field.name for field in FACTS.values() if field.required]


def test_markers_are_read() -> None:
    assert ["threads"] == [field.name for field in FACTS.values() if not field.identity]
    assert ["budget"] == [field.name for field in FACTS.values() if field.continues]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unset"), (True, "true"), ("Grüße", '"Grüße"'), ([2.0, 10], "[2.0, 10]"), (1e-9, "1e-09")],
)
def test_values_are_written_as_toml(value: str | float | list[float | str] | None, text: str) -> None:
    assert text == value_text(list(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("registered", load_registry().components(), ids=lambda item: item.qualified)
def test_every_field_of_every_component_is_described(registered: Registered) -> None:
    for field in fields_of(config_class(registered)):
        assert field.description, field.name
        assert "any" != field.type, field.name
