"""The key recipe, redone by hand, and what the markers of fields do to it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, JsonValue

from specforge.planning.keys import identity_values, made_from, outputs_digest, step_key
from specforge.planning.plan import InputFile
from specforge.plugin import ComponentConfig, marked


class Inner(ComponentConfig):
    depth: int = 1
    threads: Annotated[int, marked(identity=False)] = 4


class Config(ComponentConfig):
    dropout: float = 0
    workers: Annotated[int, marked(identity=False)] = 2
    max_updates: Annotated[int, marked(continues=True)] = 10
    norm: Annotated[str, marked(neutral="post")] = "post"
    flag: Annotated[bool | int, marked(neutral=True)] = True
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    letters: frozenset[str] = frozenset()


def test_a_key_is_the_digest_of_canonical_json() -> None:
    files = (InputFile("train/0/source", Path("/somewhere/train.en"), "aa", 3),)

    key = step_key(
        "preprocess", {"seed": 1, "tables": {"b": 2.5, "a": "ü"}}, {"task": "d/t@1"}, files, {"tokenizer": "cc"}
    )

    spelled = (
        '{"components":{"task":"d/t@1"},"config":{"seed":1,"tables":{"a":"ü","b":2.5}},"format":1,'
        '"inputs":{"train/0/source":"aa"},"kind":"preprocess","needs":{"tokenizer":"cc"}}'
    )
    assert sha256(spelled.encode()).hexdigest() == key
    assert key == "23af8a1c96ce1b6976f5c8273b313105d7f29bc08c6cd2a99884736bcca4a98e"  # by sha256sum


def test_what_a_result_is_made_from_names_outputs_instead_of_keys() -> None:
    spelled = '{"components":{},"config":{},"format":1,"inputs":{},"kind":"score","outputs":{"generate":"dd"}}'

    assert sha256(spelled.encode()).hexdigest() == made_from("score", {}, {}, (), {"generate": "dd"})


def test_outputs_are_known_by_the_files_alone() -> None:
    def manifest(name: str, made: str) -> dict[str, JsonValue]:
        return {"files": {name: {"size": 1, "sha256": "x"}}, "made": made}

    assert outputs_digest(manifest("a", "today")) == outputs_digest(manifest("a", "yesterday"))
    assert outputs_digest(manifest("a", "today")) != outputs_digest(manifest("b", "today"))


def test_a_key_knows_a_file_by_role_and_content_and_not_by_place_or_length() -> None:
    def key(*files: InputFile) -> str:
        return step_key("generate", {}, {}, files, {})

    here = key(InputFile("test/source", Path("/here/a"), "aa", 3))

    assert here == key(InputFile("test/source", Path("/there/b"), "aa", 4, 2))
    assert here != key(InputFile("test/target", Path("/here/a"), "aa", 3))
    assert here != key(InputFile("test/source", Path("/here/a"), "bb", 3))


def test_two_files_that_swap_their_contents_change_the_key() -> None:
    def key(source: str, target: str) -> str:
        files = (InputFile("train/0/source", Path("a"), source, 1), InputFile("train/0/target", Path("b"), target, 1))
        return step_key("preprocess", {}, {}, files, {})

    assert key("aa", "bb") != key("bb", "aa")


def test_fields_that_change_no_result_and_neutral_values_are_left_out() -> None:
    assert {
        "dropout": 0,
        "max_updates": 10,
        "inner": {"depth": 1},
        "several": [],
        "named": {},
        "letters": [],
    } == identity_values(Config())


def test_a_neutral_field_is_identity_once_it_has_another_value() -> None:
    assert "pre" == identity_values(Config(norm="pre"))["norm"]
    # True is neutral and 1 is not: to Python they are equal
    assert 1 == identity_values(Config(flag=1))["flag"]


def test_fields_that_may_grow_are_left_out_of_the_trajectory() -> None:
    assert "max_updates" not in identity_values(Config(), growing=False)


def test_tables_inside_lists_and_mappings_obey_their_markers() -> None:
    config = Config(several=(Inner(depth=2),), named={"x": Inner(depth=3)})

    assert [{"depth": 2}] == identity_values(config)["several"]
    assert {"x": {"depth": 3}} == identity_values(config)["named"]


def test_a_set_has_one_order() -> None:
    assert ["a", "b", "c"] == identity_values(Config(letters=frozenset("cab")))["letters"]


@pytest.mark.parametrize(("one", "other"), [('{"dropout": 0}', "{}"), ('{"dropout": 0.0}', '{"dropout": 0}')])
def test_a_number_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert json.dumps(identity_values(Config.model_validate_json(one))) == json.dumps(
        identity_values(Config.model_validate_json(other))
    )


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_different_numbers_have_different_keys(one: float, other: float) -> None:
    keys = {step_key("train", identity_values(Config(dropout=value)), {}, (), {}) for value in (one, other)}

    assert len(keys) == (1 if one == other else 2)
