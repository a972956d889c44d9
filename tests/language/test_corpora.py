"""The corpora of a spec: which files they are, and what they may not say together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spec_folder import SpecFolder

ELSEWHERE = """where all data lie elsewhere, say where: --set 'data.root="FOLDER"'"""
HEAD = """\
specforge = 1
task = { use = "translation", source = "en", target = "de" }
model = "transformer"
train = { max_updates = 10 }
"""


def test_a_stem_names_a_file_for_each_column(specs: SpecFolder) -> None:
    (specs.path / "train.en").rename(specs.path / "train.en.zst")

    spec = specs.load(f'{HEAD}[data]\ntrain = "train"\nvalid = "valid"\ntest = {{ old = "test", new = "valid" }}\n')

    (train,) = spec.train_corpora
    assert train.files == {"en": specs.path / "train.en.zst", "de": specs.path / "train.de"}
    assert (train.format, train.columns, train.header, train.weight, train.hold_out) == (
        "text",
        ("en", "de"),
        False,
        1.0,
        None,
    )
    assert str(train.place) == "spec.toml:6:9"
    assert list(spec.test_corpora) == ["old", "new"]


def test_a_table_is_one_file(specs: SpecFolder) -> None:
    for name in ("train.tsv", "valid.jsonl.gz", "plain.tsv"):
        specs.write("x\n", name)
    text = f"""{HEAD}
        data.valid = {{ path = "valid.jsonl", format = "jsonl" }}
        [[data.train]]
        path = "train.tsv"
        format = "tsv"
        columns = ["id", "de", "en"]
        weight = 2.5
        [[data.train]]
        path = "plain.tsv"
        format = "tsv"
    """

    spec = specs.load(text)

    first, second = spec.train_corpora
    assert (first.files, first.columns, first.weight) == ({"": specs.path / "train.tsv"}, ("id", "de", "en"), 2.5)
    assert second.columns == ("en", "de")
    assert spec.valid_corpus is not None
    assert spec.valid_corpus.files == {"": specs.path / "valid.jsonl.gz"}
    assert spec.test_corpora == {}


def test_valid_and_test_may_be_held_out(specs: SpecFolder) -> None:
    corpus = '{ path = "train", hold_out = { valid = 0.1, test = 0.2, distinct = "en" } }'

    spec = specs.load(f"{HEAD}data = {{ train = {corpus}, test = {{ other = 'test' }} }}\n")

    assert spec.valid_corpus is None
    assert spec.held_out_test
    assert list(spec.test_corpora) == ["other"]
    assert spec.train_corpora[0].hold_out == {"valid": 0.1, "test": 0.2, "distinct": "en"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('train = "train"', [("SF102", "5:2", "`valid` is required")]),
        ('train = { path = "train", hold_out = { test = 0.1 } }', [("SF102", "5:2", "`valid` is required")]),
        (
            'train = { path = "train", hold_out = {} }\nvalid = "valid"',
            [("SF102", "6:38", "`valid` or `test` is required")],
        ),
        ('train = { path = "train", hold_out = 0.1 }\nvalid = "valid"', [("SF301", "7:9", "here")]),
        (
            'train = { path = "train", hold_out = { valid = 0.1, test = 0.1 } }\ntest = "test"',
            [("SF301", "7:8", "here")],
        ),
        (
            'train = { path = "train", hold_out = { valid = 0.5, test = 0.5 } }',
            [("SF301", "6:48", "this share")],
        ),
        (
            'train = { path = "train", hold_out = { valid = 0.1, distinct = "fr" } }',
            [("SF103", "6:64", "the columns are en, de")],
        ),
        (
            'train = "train"\nvalid = { path = "valid", weight = 2 }',
            [("SF301", "7:36", "`weight` is for training data")],
        ),
        (
            'train = "train"\nvalid = { path = "valid", hold_out = 0.1 }',
            [("SF301", "7:38", "`hold_out` is for training data")],
        ),
        (
            'train = { path = "train", columns = ["en"] }\nvalid = "valid"',
            [("SF301", "6:37", "`columns` is for tsv")],
        ),
        (
            'train = { path = "t", format = "tsv", header = true, columns = ["en"] }\nvalid = "valid"',
            [("SF301", "6:64", "the header names the columns")],
        ),
        ('train = { path = "t", format = "tsv", columns = ["en", "fr"] }\nvalid = "valid"', [("SF301", "6:49", "")]),
        (
            'train = { path = "t", format = "tsv", columns = ["en", "de", "en"] }\nvalid = "valid"',
            [("SF301", "6:49", "")],
        ),
        (
            'train = "train"\nvalid = "valid"\ntest = { "a/b" = "test", logs = "test" }',
            [("SF103", "8:18", ""), ("SF103", "8:33", "")],
        ),
        ('train = []\nvalid = "valid"', [("SF103", "6:9", "")]),
        ('train = "train"\nvalid = { path = "t", format = "csv" }', [("SF103", "7:32", "")]),
        ('train = "train"\nvalid = 3', [("SF103", "7:9", "this is a whole number")]),
        ('train = "train"\nvalid = { path = "", format = "csv" }', [("SF103", "7:18", ""), ("SF103", "7:31", "")]),
    ],
)
def test_what_corpora_may_not_say(specs: SpecFolder, data: str, expected: list[tuple[str, str, str]]) -> None:
    specs.write("x\n", "t")

    found = specs.brief(f"{HEAD}[data]\n{data}\n")

    assert [(code, f"spec.toml:{place}", words) for code, place, words in expected] == found


@pytest.mark.parametrize(
    ("corpus", "words", "help_text"),
    [
        ('"trian"', "did you mean `train`?", None),
        ('"./trian"', "did you mean `./train`?", None),
        ('"nothing_like_it"', "not found", ELSEWHERE),
        ('"absent/train"', "its folder does not exist", ELSEWHERE),
        (
            '"train.de"',
            "this is one file, and a stem is expected",
            'for parallel text write the path up to the language: "train"',
        ),
        ('"table.tsv"', "this is one file", 'write `{ path = "table.tsv", format = "tsv" }`'),
        ('{ path = "tabel.tsv", format = "tsv" }', "did you mean `table.tsv`?", None),
        ('"~/train"', "`~` is not expanded", "write the whole path"),
    ],
)
def test_a_missing_file_is_shown_where_it_is_named(
    specs: SpecFolder, corpus: str, words: str, help_text: str | None
) -> None:
    specs.write("x\n", "table.tsv")

    (diagnostic,) = specs.diagnostics(f'{HEAD}[data]\nvalid = "valid"\ntrain = {corpus}\n')

    assert ("SF501", words, help_text) == (diagnostic.code, diagnostic.labels[0].text, diagnostic.help)
    assert diagnostic.place is not None
    assert diagnostic.place.line == 7


def test_a_name_that_no_file_can_have_is_missing(specs: SpecFolder) -> None:
    found = specs.brief(f'{HEAD}[data]\nvalid = "valid"\ntrain = ["a\\u0000b", "{"x" * 5_000}"]\n')

    assert [(code, place) for code, place, _ in found] == [("SF501", "spec.toml:7:10"), ("SF501", "spec.toml:7:22")]


def test_only_the_missing_side_is_named(specs: SpecFolder) -> None:
    (specs.path / "valid.de").unlink()

    (diagnostic,) = specs.diagnostics(f'{HEAD}[data]\nvalid = "valid"\ntrain = "train"\n')

    assert diagnostic.message == "no such file: `valid.de`"
    assert diagnostic.notes == ("looked in ., for compressed forms too (.gz, .zst, .xz, .bz2)",)


def test_files_are_not_looked_for_without_a_task(specs: SpecFolder) -> None:
    found = specs.brief(
        f'{HEAD}data = {{ train = "absent", valid = "absent" }}\n'.replace('"translation"', '"translaton"')
    )

    assert found == [("SF201", "spec.toml:2:16", "did you mean `translation`?")]


def test_a_task_with_an_unknown_key_still_knows_its_columns(specs: SpecFolder) -> None:
    found = specs.brief(f'{HEAD}data = {{ train = "trian", valid = "valid" }}\n'.replace("source", "x = 1, source"))

    assert [code for code, _, _ in found] == ["SF101", "SF501"]


REFERENCES = 'data = {{ train = "train", valid = "valid", test = {{ path = "test", references = {} }} }}\n'


def test_a_test_may_name_its_references(specs: SpecFolder) -> None:
    (specs.path / "test.de").rename(specs.path / "test.ref0")
    specs.write("x\n", "test.ref1")

    spec = specs.load(HEAD + REFERENCES.format('["ref0", "ref1"]'))

    test = spec.test_corpora["test"]
    assert ("ref0", "ref1") == test.references
    assert ["en", "ref0", "ref1"] == list(test.files)


def test_the_column_of_the_task_alone_is_no_reference_of_its_own(specs: SpecFolder) -> None:
    assert () == specs.load(HEAD + REFERENCES.format('["de"]')).test_corpora["test"].references


def test_a_reference_that_is_not_there_is_named(specs: SpecFolder) -> None:
    (found,) = specs.diagnostics(HEAD + REFERENCES.format('["de", "ref1"]'))

    assert ("SF501", "no such file: `test.ref1`") == (found.code, found.message)


def test_a_reference_counts_once(specs: SpecFolder) -> None:
    (found,) = specs.diagnostics(HEAD + REFERENCES.format('["de", "de"]'))

    assert ("SF301", "`references` names a column twice") == (found.code, found.message)


def test_what_outputs_are_made_of_is_no_reference(specs: SpecFolder) -> None:
    (found,) = specs.diagnostics(HEAD + REFERENCES.format('["en", "de"]'))

    assert ("SF301", "`en` is no reference: it is what outputs are made of") == (found.code, found.message)


def test_a_table_without_header_names_its_references(specs: SpecFolder) -> None:
    specs.write("a\tb\n", "test.tsv")
    table = 'test = {{ path = "test.tsv", format = "tsv", columns = {}, references = ["two"] }}'
    data = 'data = {{ train = "train", valid = "valid", {} }}\n'

    right = specs.load(HEAD + data.format(table.format('["two", "en"]')))
    (wrong,) = specs.diagnostics(HEAD + data.format(table.format('["de", "en"]')))

    assert ("two", "en") == right.test_corpora["test"].columns
    assert "`columns` does not name `two`, which `references` does" == wrong.message


def test_only_tests_have_references(specs: SpecFolder) -> None:
    data = 'data = { train = "train", valid = { path = "valid", references = ["de"] } }\n'

    (found,) = specs.diagnostics(HEAD + data)

    assert ("SF301", "`references` does nothing in [data.valid]") == (found.code, found.message)
