"""The preprocess step: from text to files, the same for any number of processes, nothing lost without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from preprocess_jobs import learned, make_job, parallel, prepared
from pydantic import JsonValue

from specforge.data.corpus import IndexedCorpus, Segment, read_facts
from specforge.data.vocabulary import Vocabulary
from specforge.execution.job import CorpusJob
from specforge.foundation.errors import WrongInputError
from specforge.language.schema.data import PreprocessSection
from specforge.steps import cut_corpora
from specforge.steps.preprocess import build_vocabularies

SHARED_DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data"


def text(folder: Path, split: str, role: str) -> list[str]:
    """Read a split back as text: every item's pieces joined with spaces."""
    vocabulary = Vocabulary.from_bytes((folder / f"vocabulary.{role}.txt").read_bytes())
    corpus = IndexedCorpus.open(folder, split, [role])
    items = [corpus.item(number)[role].tolist() for number in range(len(corpus))]
    assert {2} == {item[-1] for item in items}
    return [" ".join(vocabulary.pieces(item)) for item in items]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def valid(folder: Path) -> CorpusJob:
    return parallel(folder, "valid", "a\nq a\n\n", "x\nz\n\n")


def test_a_corpus_by_hand(tmp_path: Path) -> None:
    train = parallel(tmp_path, "train/0", "a b a\n\nc b\n", "x y\nx\nx x\n")

    folder, reporter = prepared(make_job(tmp_path / "out", [train, valid(tmp_path)]))

    assert (folder / "vocabulary.source.txt").read_bytes() == b"a 2\nb 2\nc 1\n"
    assert (folder / "vocabulary.target.txt").read_bytes() == b"x 3\ny 1\n"
    assert ["a b a", "c b"] == text(folder, "train", "source")
    assert ["x y", "x x"] == text(folder, "train", "target")
    assert ["a", "<unk> a", ""] == text(folder, "valid", "source")
    assert ["x", "<unk>", ""] == text(folder, "valid", "target")
    assert (folder / "valid.source.txt").read_bytes() == b"a\nq a\n\n"
    assert (folder / "valid.target.txt").read_bytes() == b"x\nz\n\n"
    assert [] == list((folder / "tokenizer").iterdir())
    facts = read_facts(folder)
    assert (["source", "target"], False, [Segment(start=0, stop=2)]) == (facts.roles, facts.joined, facts.segments)
    assert reporter.messages == [
        "2 items to train on, 3 to validate with, vocabulary of 6 and 7 types",
        "left out 1 of 3 training items: 1 with an empty side",
    ]
    assert json.loads((folder / "summary.json").read_bytes()) == {
        "splits": {
            "train": {
                "read": 3,
                "kept": 2,
                "left_out": {"empty": 1},
                "tokens": {"source": 7, "target": 6},
                "unknown": {"source": 0, "target": 0},
                "unknown_percent": {"source": 0.0, "target": 0.0},
            },
            "valid": {
                "read": 3,
                "kept": 3,
                "left_out": {},
                "tokens": {"source": 6, "target": 5},
                "unknown": {"source": 1, "target": 1},
                "unknown_percent": {"source": 33.333, "target": 50.0},
            },
        },
        "types": {"source": 7, "target": 6},
        "joined": False,
        "text": {"carriage_returns": 0, "byte_order_marks": 0, "line_feeds": 0},
    }


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_any_number_of_processes_gives_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(cut_corpora, "_CHUNK_ROWS", 7)
    lines = [f"{number} {number * number % 31} {'' if number % 10 else 'even'}\n" for number in range(1, 100)]
    hold_out: dict[str, JsonValue] = {"valid": 0.2}
    corpora = [
        parallel(tmp_path, "train/0", "".join(lines), "".join(lines[::-1]), hold_out),
        parallel(tmp_path, "train/1", "".join(lines[:20]), "\n" * 20),
        parallel(tmp_path, "train/2", "".join(lines[40:]), "".join(lines[40:])),
    ]

    alone, reporter = prepared(make_job(tmp_path / "alone", corpora, section={"max_length": 3}))
    together, other = prepared(make_job(tmp_path / "together", corpora, section={"max_length": 3}, workers=workers))

    assert files(alone) == files(together)
    assert (reporter.messages, reporter.warnings) == (other.messages, other.warnings)
    assert ["nothing is left of training corpus 2"] == reporter.warnings


def test_what_is_too_long_or_too_uneven_is_left_out_of_training_only(tmp_path: Path) -> None:
    train = parallel(tmp_path, "train/0", "a a a\na a\na a a a\na\n", "x x x\nx x\nx x x\nx x\n")
    corpora = [train, parallel(tmp_path, "valid", "a a a a a a\n", "x\n")]

    folder, reporter = prepared(make_job(tmp_path / "out", corpora, section={"max_length": 4, "max_ratio": 1.5}))

    assert ["a a a", "a a"] == text(folder, "train", "source")
    assert ["a a a a a a"] == text(folder, "valid", "source")
    assert reporter.messages[1] == "left out 2 of 4 training items: 1 over max_ratio, 1 longer than max_length"


def test_segments_say_which_items_come_from_which_corpus(tmp_path: Path) -> None:
    corpora = [
        parallel(tmp_path, "train/0", "a\nb\n\n", "x\nx\nx\n"),
        parallel(tmp_path, "train/1", "c\n", "x\n"),
        valid(tmp_path),
        parallel(tmp_path, "train/2", "d\ne\n", "x\nx\n"),
    ]

    folder, _ = prepared(make_job(tmp_path / "out", corpora))

    assert [(0, 2), (2, 3), (3, 5)] == [(segment.start, segment.stop) for segment in read_facts(folder).segments]
    assert ["a", "b", "c", "d", "e"] == text(folder, "train", "source")


def test_held_out_rows_are_on_one_side_only(tmp_path: Path) -> None:
    lines = [f"s{number % 40}" for number in range(200)]
    content = "".join(f"{line}\n" for line in lines)
    targets = "".join(f"t{number}\n" for number in range(200))
    corpus = parallel(tmp_path, "train/0", content, targets, {"valid": 0.2, "test": 0.2, "distinct": "en"})

    folder, _ = prepared(make_job(tmp_path / "out", [corpus]))

    train, held_out = text(folder, "train", "source"), (folder / "valid.source.txt").read_text().split()
    assert set(train).isdisjoint(held_out)
    assert 0 < len(held_out)
    assert len(train) + len(held_out) < 200  # the rest is the test's
    assert set(train) | set(held_out) < set(lines)


def test_a_joined_vocabulary_counts_both_sides(tmp_path: Path) -> None:
    train = parallel(tmp_path, "train/0", "a b\n", "b c\n")

    folder, _ = prepared(make_job(tmp_path / "out", [train, valid(tmp_path)], section={"joined_dictionary": True}))

    assert (folder / "vocabulary.source.txt").read_bytes() == b"b 2\na 1\nc 1\n"
    assert (folder / "vocabulary.target.txt").read_bytes() == b"b 2\na 1\nc 1\n"
    assert read_facts(folder).joined


def test_limits_of_a_joined_vocabulary_are_those_of_the_source() -> None:
    counts = {"source": {"a": 3, "b": 1}, "target": {"a": 1, "c": 2}}
    section = PreprocessSection(threshold_source=2, threshold_target=4, nwords_target=5, padding_factor=1)

    joined = build_vocabularies(counts, section, joined=True)
    apart = build_vocabularies(counts, section, joined=False)

    assert b"a 4\nc 2\n" == joined["source"].to_bytes() == joined["target"].to_bytes()
    assert [b"a 3\n", b""] == [apart[role].to_bytes() for role in ("source", "target")]


def test_a_trained_tokenizer_goes_with_the_data(tmp_path: Path) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    content = "".join(f"{first} {second}\n" for first in words for second in words)
    corpora = [parallel(tmp_path, "train/0", content, content), parallel(tmp_path, "valid", "six ☃\n", "one\n")]
    tokenizer: JsonValue = {"use": "specforge/sentencepiece", "vocab_size": 24}
    learned_folder, _ = learned(make_job(tmp_path / "tokenizer", corpora, kind="tokenizer", tokenizer=tokenizer))
    needs = {"tokenizer": str(learned_folder)}

    folder, _ = prepared(make_job(tmp_path / "out", corpora, tokenizer=tokenizer, needs=needs))

    kept = (folder / "tokenizer" / "shared.model").read_bytes()
    assert (learned_folder / "tokenizer" / "shared.model").read_bytes() == kept
    assert {"files": {"shared.model": len(kept)}} == json.loads((learned_folder / "summary.json").read_bytes())
    assert read_facts(folder).joined  # because the model is shared
    assert text(folder, "valid", "source")[0] == "▁six <unk> <unk>"
    assert (folder / "valid.source.txt").read_text(encoding="utf-8") == "six ☃\n"


def test_validation_text_reads_as_people_read_it(tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "train/0", "a\n", "x\n"), parallel(tmp_path, "valid", "new@@ est\n", "neu@@ este\n")]
    tokenizer: JsonValue = {"use": "specforge/whitespace", "remove_bpe": "@@ "}

    folder, _ = prepared(make_job(tmp_path / "out", corpora, tokenizer=tokenizer))

    assert (folder / "valid.target.txt").read_text() == "neueste\n"
    assert IndexedCorpus.open(folder, "valid", ["target"]).lengths()["target"].tolist() == [3]


@pytest.mark.parametrize(
    ("train", "held_out", "valid_text", "message"),
    [
        (("", ""), None, "a\n", "there is no training data"),
        (("a\n", "\n"), None, "a\n", "none of 1 training item is left"),
        (("a\n", "x\n"), None, "", "there is no validation data"),
        (("a\nb\n", "x\ny\n"), {"valid": 0.999999999}, "a\n", "there is no training data"),
    ],
)
def test_nothing_to_work_with_is_an_error(
    tmp_path: Path, train: tuple[str, str], held_out: dict[str, JsonValue] | None, valid_text: str, message: str
) -> None:
    corpora = [
        parallel(tmp_path, "train/0", *train, held_out),
        parallel(tmp_path, "valid", valid_text, valid_text),
    ]
    with pytest.raises(WrongInputError, match=message) as caught:
        prepared(make_job(tmp_path / "out", corpora))

    assert caught.value.code == "SF504"


def test_the_bar_is_full_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_corpora, "_CHUNK_ROWS", 2)
    train = parallel(tmp_path, "train/0", "a\n" * 30, "x\n" * 30, {"test": 0.3}).model_copy(update={"lines": 30})
    corpora = [train, valid(tmp_path).model_copy(update={"lines": 3})]

    _, reporter = prepared(make_job(tmp_path / "out", corpora))

    assert [(33, 33), (33, 33)] == reporter.bar[-2:]
    assert {33} == {total for _, total in reporter.bar}
    assert sorted(reporter.bar) == reporter.bar


@pytest.mark.parametrize("workers", [1, 2])
def test_a_wrong_file_is_named_from_wherever_it_is_read(tmp_path: Path, workers: int) -> None:
    train = parallel(tmp_path, "train/0", "a\n" * 30, "x\n" * 29)

    with pytest.raises(WrongInputError) as caught:
        prepared(make_job(tmp_path / "out", [train, valid(tmp_path)], workers=workers))

    assert ("SF503", 30) == (caught.value.code, caught.value.place and caught.value.place.line)


def test_what_is_not_text_of_lines_is_told(tmp_path: Path) -> None:
    corpora = [parallel(tmp_path, "train/0", "\ufeffa\r\nb\r\n", "x\ny\n"), valid(tmp_path)]

    folder, reporter = prepared(make_job(tmp_path / "out", corpora))

    assert ["a", "b"] == text(folder, "train", "source")
    assert reporter.messages[1:] == [
        "2 lines with CR LF at the end; the CR was left out",
        "1 file with a byte order mark; it was left out",
    ]


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the corpora are not at hand")
def test_tatoeba_is_split_by_distinct_english_sentence(tmp_path: Path) -> None:
    corpus = CorpusJob(
        role="train/0",
        format="tsv",
        files={"": str(SHARED_DATA / "tatoeba" / "swe.txt.gz")},
        columns=["en", "de", "attribution"],
        hold_out={"valid": 0.02, "test": 0.02, "distinct": "en"},
    )

    folder, _ = prepared(make_job(tmp_path / "out", [corpus]))

    summary = json.loads((folder / "summary.json").read_bytes())["splits"]
    assert 24_000 < summary["train"]["kept"] < 24_600
    assert 400 < summary["valid"]["kept"] < 640
    held_out = (folder / "valid.source.txt").read_text(encoding="utf-8").split("\n")[:-1]
    train = text(folder, "train", "source")
    assert {" ".join(line.split()) for line in held_out}.isdisjoint(train)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the corpora are not at hand")
def test_multi30k_has_the_vocabulary_that_fairseq_makes_of_it(tmp_path: Path) -> None:
    folder = SHARED_DATA / "multi30k"
    corpora = [
        CorpusJob(
            role=role,
            format="text",
            files={"source": str(folder / f"{name}.en.gz"), "target": str(folder / f"{name}.de.gz")},
        )
        for role, name in (("train/0", "train"), ("valid", "val"))
    ]
    tokenizer: JsonValue = {"use": "specforge/sentencepiece", "model_type": "bpe", "vocab_size": 8_000}
    learned_folder, _ = learned(make_job(tmp_path / "tokenizer", corpora, kind="tokenizer", tokenizer=tokenizer))
    needs = {"tokenizer": str(learned_folder)}

    result, reporter = prepared(
        make_job(tmp_path / "out", corpora, tokenizer=tokenizer, needs=needs, workers=2, section={"padding_factor": 8})
    )

    # joined, padded to a multiple of 8: what fairseq-preprocess says for BPE of 8,000 pieces on this text
    assert reporter.messages == ["29,000 items to train on, 1,014 to validate with, vocabulary of 7,792 types"]
    assert len(text(result, "train", "target")) == 29_000
