"""Which rows a step sees: the side of a corpus by its role, held-out rows by their hash, only the columns asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from preprocess_jobs import Messages, make_job, parallel
from pydantic import JsonValue

from specforge.data.readers import Row, RowRemarks
from specforge.execution.job import CorpusJob, Job
from specforge.steps.corpora import report_remarks, split_rows

SHARES: dict[str, JsonValue] = {"valid": 0.3, "test": 0.3}


def rows(job: Job, side: str, roles: list[str] | None = None) -> list[Row]:
    assert side in {"train", "valid", "test"}
    return list(split_rows(job, side, RowRemarks(), roles))  # type: ignore[arg-type]  # just checked


def three_columns(folder: Path, hold_out: dict[str, JsonValue]) -> CorpusJob:
    path = folder / "train.tsv"
    path.write_text("".join(f"id{number % 9}\ts{number % 11}\tt{number}\n" for number in range(60)))
    return CorpusJob(role="train/0", format="tsv", files={"": str(path)}, columns=["id", "en", "de"], hold_out=hold_out)


def test_a_corpus_has_the_side_of_its_role(tmp_path: Path) -> None:
    corpora = [
        parallel(tmp_path, "train/0", "a\n", "x\n"),
        parallel(tmp_path, "valid", "b\n", "y\n"),
        parallel(tmp_path, "test", "c\n", "z\n"),
        parallel(tmp_path, "train/1", "d\n", "w\n"),
    ]
    job = make_job(tmp_path / "out", corpora)

    assert [("a", "x"), ("d", "w")] == rows(job, "train")
    assert [("b", "y")] == rows(job, "valid")
    assert [("z",)] == rows(job, "test", ["target"])


def test_a_hold_out_loses_no_row_and_repeats_none(tmp_path: Path) -> None:
    lines = [(f"s{number}", f"t{number}") for number in range(100)]
    source, target = ("".join(f"{row[side]}\n" for row in lines) for side in (0, 1))
    job = make_job(tmp_path / "out", [parallel(tmp_path, "train/0", source, target, SHARES)])

    parts = [rows(job, side) for side in ("train", "valid", "test")]

    assert sorted(lines) == sorted(row for part in parts for row in part)
    assert all(20 < len(part) < 60 for part in parts)


@pytest.mark.parametrize("distinct", ["en", "id"])
def test_the_column_that_decides_need_not_be_asked_for(tmp_path: Path, distinct: str) -> None:
    job = make_job(tmp_path / "out", [three_columns(tmp_path, {**SHARES, "distinct": distinct})])

    for side in ("train", "valid", "test"):
        whole = rows(job, side)
        assert [(target,) for _, target in whole] == rows(job, side, ["target"])
        assert whole

    number = 11 if distinct == "en" else 9
    sides = [{int(target[1:]) % number for _, target in rows(job, side)} for side in ("train", "valid", "test")]
    assert set(range(number)) == set.union(*sides)
    assert sum(map(len, sides)) == number  # disjoint


def test_remarks_become_sentences() -> None:
    reporter = Messages()

    report_remarks(RowRemarks(carriage_returns=1_997, byte_order_marks=1, line_feeds=0), reporter)
    report_remarks(RowRemarks(line_feeds=432), reporter)

    assert reporter.messages == [
        "1,997 lines with CR LF at the end; the CR was left out",
        "1 file with a byte order mark; it was left out",
        "432 texts with line ends inside; each became a space",
    ]
