"""The quickstart's corpus is what its program writes, and its test set is honest."""

from __future__ import annotations

import runpy
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "specs" / "quickstart"
SPLITS = ("train", "valid", "test")
LANGUAGES = ("en", "fr")


def lines(split: str, language: str) -> list[str]:
    return (FOLDER / f"{split}.{language}").read_text(encoding="utf-8").removesuffix("\n").split("\n")


def test_the_committed_files_are_what_the_program_writes(tmp_path: Path) -> None:
    runpy.run_path(str(FOLDER / "make_numbers.py"))["write_corpus"](tmp_path)

    for name in (f"{split}.{language}" for split in SPLITS for language in LANGUAGES):
        assert (FOLDER / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_no_number_stands_in_two_splits() -> None:
    numbers = {split: lines(split, "en") for split in SPLITS}

    assert {"train": 16_000, "valid": 200, "test": 500} == {split: len(set(rows)) for split, rows in numbers.items()}
    assert 16_700 == len({number for rows in numbers.values() for number in rows})


def test_every_word_of_the_test_set_is_seen_in_training() -> None:
    for language in LANGUAGES:
        words = {split: {word for line in lines(split, language) for word in line.split(" ")} for split in SPLITS}

        assert words["test"] | words["valid"] <= words["train"]
