"""Rows of a corpus: the three formats, and what does not fit them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specforge.data.readers import CorpusFiles, Row, RowRemarks, read_rows
from specforge.foundation.errors import Place, WrongInputError
from specforge.plugin import Column

COLUMNS = (Column("source", "en"), Column("target", "de"))
FIELDS = st.text(st.characters(exclude_characters="\n\r\t\ufeff", exclude_categories=["Cs"]))


def table(path: Path, content: str, *, header: bool = False, columns: Sequence[str] = ("en", "de")) -> CorpusFiles:
    path.write_bytes(content.encode())
    return CorpusFiles("jsonl" if path.suffix == ".jsonl" else "tsv", {"": path}, header, tuple(columns))


def parallel(folder: Path, source: str, target: str) -> CorpusFiles:
    files = {"source": folder / "train.en", "target": folder / "train.de"}
    for role, content in (("source", source), ("target", target)):
        files[role].write_bytes(content.encode())
    return CorpusFiles("text", files)


def rows(corpus: CorpusFiles, columns: Sequence[Column] = COLUMNS) -> list[Row]:
    return list(read_rows(corpus, columns, RowRemarks()))


def failure(corpus: CorpusFiles) -> WrongInputError:
    with pytest.raises(WrongInputError) as caught:
        rows(corpus)
    return caught.value


def test_parallel_files_are_read_line_by_line(tmp_path: Path) -> None:
    corpus = parallel(tmp_path, "one\n\nthree\n", "eins\nzwei\ndrei")

    assert [("one", "eins"), ("", "zwei"), ("three", "drei")] == rows(corpus)
    assert [("eins", "one")] == rows(corpus, COLUMNS[::-1])[:1]


def test_no_file_of_another_column_is_opened(tmp_path: Path) -> None:
    corpus = parallel(tmp_path, "one\ntwo\n", "")
    corpus.files["target"].unlink()

    assert [("one",), ("two",)] == rows(corpus, COLUMNS[:1])


@pytest.mark.parametrize(
    ("source", "target", "short", "missing", "counts"),
    [
        ("a\nb\nc\n", "x\n", "train.de", 2, (3, 1)),
        ("a\n", "x\ny\n", "train.en", 2, (1, 2)),
        ("", "x\ny\n", "train.en", 1, (0, 2)),
    ],
)
def test_unequal_files_are_refused_with_both_counts(
    tmp_path: Path, source: str, target: str, short: str, missing: int, counts: tuple[int, int]
) -> None:
    error = failure(parallel(tmp_path, source, target))

    assert ("SF503", Place(str(tmp_path / short), missing)) == (error.code, error.place)
    assert error.notes == tuple(
        f"{tmp_path / name} has {count} line{'' if count == 1 else 's'}"
        for name, count in zip(("train.en", "train.de"), counts, strict=True)
    )


def test_a_tsv_knows_no_quoting(tmp_path: Path) -> None:
    corpus = table(tmp_path / "t.tsv", '"a\t"b ""\n\\t\t\n')

    assert [('"a', '"b ""'), ("\\t", "")] == rows(corpus)


def test_columns_of_a_tsv_are_found_by_their_names(tmp_path: Path) -> None:
    named = table(tmp_path / "t.tsv", "id\tde\ten\n1\teins\tone\n", header=True, columns=())
    told = table(tmp_path / "u.tsv", "1\teins\tone\n", columns=("id", "de", "en"))

    assert [("one", "eins")] == rows(named) == rows(told)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("a\tb\nc\n", 2, "1 field where the table has 2 columns"),
        ("a\tb\nc\td\te\n", 2, "3 fields where the table has 2 columns"),
        ("a\tb\n\n", 2, "1 field where the table has 2 columns"),
    ],
)
def test_a_row_of_a_tsv_that_does_not_fit_is_named(tmp_path: Path, content: str, line: int, message: str) -> None:
    error = failure(table(tmp_path / "t.tsv", content))

    assert ("SF505", message, Place(str(tmp_path / "t.tsv"), line)) == (error.code, error.message, error.place)


@pytest.mark.parametrize(
    ("header", "message"),
    [("en\tfr", "no column `de` in the table"), ("en\tde\tde", "2 columns `de` in the table"), ("", "no column `en`")],
)
def test_a_header_must_name_each_column_once(tmp_path: Path, header: str, message: str) -> None:
    error = failure(table(tmp_path / "t.tsv", f"{header}\n", header=True, columns=()))

    assert ("SF505", 1) == (error.code, error.place and error.place.line)
    assert message in error.message


@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_every_format_gives_the_same_rows(tmp_path: Path, texts: list[tuple[str, str]]) -> None:
    tsv = table(tmp_path / "t.tsv", "".join(f"{en}\t{de}\n" for en, de in texts))
    jsonl = table(tmp_path / "t.jsonl", "".join(json.dumps({"de": de, "en": en, "n": 1}) + "\n" for en, de in texts))
    text = parallel(tmp_path, *("".join(f"{row[side]}\n" for row in texts) for side in (0, 1)))

    assert texts == rows(tsv) == rows(jsonl) == rows(text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"en": "a"}', "no `de` in the row"),
        ('{"en": "a", "de": ["b"]}', "`de` is an array, not a string"),
        ('{"en": "a", "de": null}', "`de` is null, not a string"),
        ('{"en": "a", "de": true}', "`de` is a boolean, not a string"),
        ('{"en": "a", "de": "\\ud800"}', "`de` contains half of a surrogate pair"),
        ('["a", "b"]', "an array where an object is expected"),
        ('"a"', "a string where an object is expected"),
        ('{"en": "a", "de": "b", "en": "c"}', "`en` stands there twice"),
        ('{"en": "a", "de": "b", "more": {"n": 1, "n": 2}}', "`n` stands there twice"),
        ("[" * 100_000, "not a line of JSON"),
        ("9" * 5_000, "not a line of JSON"),
    ],
)
def test_a_line_of_jsonl_that_does_not_fit_is_named(tmp_path: Path, line: str, message: str) -> None:
    error = failure(table(tmp_path / "t.jsonl", f'{{"en": "fine", "de": "gut"}}\n{line}\n'))

    assert ("SF505", Place(str(tmp_path / "t.jsonl"), 2)) == (error.code, error.place)
    assert message in error.message


@pytest.mark.parametrize(("line", "column"), [("{'en': 'a'}", 2), ("", 1), ('{"en": "a",, "de": "b"}', 12)])
def test_where_a_line_of_jsonl_is_none_its_column_is_named(tmp_path: Path, line: str, column: int) -> None:
    error = failure(table(tmp_path / "t.jsonl", f'{{"en": "fine", "de": "gut"}}\n{line}\n'))

    assert ("SF505", Place(str(tmp_path / "t.jsonl"), 2, column)) == (error.code, error.place)
    assert error.message.startswith("not a line of JSON")


def test_line_ends_inside_json_strings_become_spaces_and_are_counted(tmp_path: Path) -> None:
    corpus = table(tmp_path / "t.jsonl", '{"en": "a\\nb\\u000ac", "de": "d\\\\n"}\r\n')
    remarks = RowRemarks()

    assert [("a b c", "d\\n")] == list(read_rows(corpus, COLUMNS, remarks))
    assert RowRemarks(carriage_returns=1, line_feeds=1) == remarks
