"""Lines as JSON objects: what they may hold, and what is said where they hold something else."""

from __future__ import annotations

import json

import pytest

from specforge.foundation.errors import Place, WrongInputError
from specforge.generation.lines import PARSERS, Line, json_line, text_line

PLACE = Place("in.jsonl", 7)


def test_a_line_of_text_is_what_it_is() -> None:
    assert Line(' {"text": 1}') == text_line(' {"text": 1}', PLACE)
    assert {"text", "jsonl"} == set(PARSERS)


def test_an_object_says_more_than_its_text() -> None:
    values = {"text": "a b", "prefix": "x", "constraints": ["y z", "w"], "id": 12}

    assert Line("a b", "x", ("y z", "w"), 12) == json_line(json.dumps(values), PLACE)
    assert Line("a", id="one") == json_line('{"id": "one", "text": "a"}', PLACE)


def test_a_line_end_in_a_text_becomes_a_space() -> None:
    line = json_line(r'{"text": "a\nb", "prefix": "c\rd", "constraints": ["e\nf"]}', PLACE)

    assert ("a b", "c d", ("e f",)) == (line.text, line.prefix, line.constraints)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "not a line of JSON"),
        ('["a"]', "a line is a JSON object"),
        ('"a"', "a line is a JSON object"),
        ("{}", "no `text` in the line"),
        ('{"text": "a", "prefx": "b"}', "`prefx` means nothing in a line to be translated"),
        ('{"source": "a"}', "`source` means nothing in a line to be translated"),
        ('{"text": "a", "text": "b"}', "`text` stands there twice"),
        ('{"text": 1}', "`text` is not a text"),
        ('{"text": null}', "`text` is not a text"),
        (r'{"text": "\ud800"}', "`text` is not a text"),
        ('{"text": "a", "prefix": ["b"]}', "`prefix` is not a text"),
        ('{"text": "a", "constraints": "b"}', "`constraints` is not a list of texts that are not blank"),
        ('{"text": "a", "constraints": [" "]}', "`constraints` is not a list of texts that are not blank"),
        ('{"text": "a", "id": 1.5}', "`id` is not a text or a whole number"),
        ('{"text": "a", "id": true}', "`id` is not a text or a whole number"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        json_line(text, PLACE)

    assert ("SF505", PLACE) == (caught.value.code, caught.value.place)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [("", 1, "expecting value"), ("Hello", 1, "expecting value"), ('{"text": "a"', 13, "expecting ',' delimiter")],
)
def test_where_a_line_is_no_json_its_column_is_named(text: str, column: int, message: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        json_line(text, PLACE)

    assert ("SF505", Place("in.jsonl", 7, column)) == (caught.value.code, caught.value.place)
    assert f"not a line of JSON: {message}" == caught.value.message
