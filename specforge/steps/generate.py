"""The generate step: the source side of a test in, `hypotheses.txt` and `summary.json` out.

- `hypotheses.txt`: one line for each input line, in order, each ended by LF; a blank input line gives an empty one
- `summary.json`: counts, the same on every machine; how long it took goes to the log
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from pydantic import JsonValue

from specforge.data.readers import RowRemarks
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.generation.generator import Translation
from specforge.steps.corpora import report_remarks, sided_rows
from specforge.steps.decoding import trained_generator

HYPOTHESES: Final = "hypotheses.txt"
SUMMARY: Final = "summary.json"


def run(job: Job, reporter: Reporter) -> None:
    """Decode a test.

    Raises:
        WrongInputError: SF504, the test is empty; SF506, a line is longer than the model's positions; others as
            `specforge.data.readers.read_rows`.
        CorruptStateError, EnvironmentFaultError: as `trained_generator`.
    """
    assert job.output is not None
    inputs = _read_sources(job, reporter)
    generator = trained_generator(job)
    begun = time.monotonic()
    with torch.inference_mode():
        translations = generator.translate(
            inputs.lines, lambda done: reporter.progress(done, len(inputs.lines), "sentences"), inputs.place
        )
    seconds = time.monotonic() - begun
    _write(translations, Path(job.output))
    reporter.record(
        "summary",
        sentences=len(translations),
        seconds=round(seconds, 3),
        sentences_per_second=len(translations) / seconds,
    )


@dataclass(slots=True)
class _Sources:
    """The lines to translate.

    Args:
        lines: in the order of the files.
        corpora: number of the corpus and of the row in it, for each line.
        job: the job, which knows the files.
    """

    job: Job
    lines: list[str] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)

    def place(self, number: int) -> Place:
        """Return where the user finds a line."""
        corpus_number, row = self.rows[number]
        corpus = self.job.corpora[corpus_number]
        path = corpus.files.get("source", corpus.files.get(""))
        return Place(str(path), row + 1 + corpus.header)


def _read_sources(job: Job, reporter: Reporter) -> _Sources:
    sources = _Sources(job)
    remarks = RowRemarks()
    for corpus_number, corpus in enumerate(job.corpora):
        for row_number, (side, row) in enumerate(sided_rows(job, corpus, remarks, ["source"])):
            if side == "test":
                sources.lines.append(row[0])
                sources.rows.append((corpus_number, row_number))
    report_remarks(remarks, reporter)
    if not sources.lines:
        raise WrongInputError("SF504", "the test has no lines", help="a hold-out may be too small a share")
    return sources


def _write(translations: list[Translation], folder: Path) -> None:
    durable.write_file(folder / HYPOTHESES, "".join(f"{each.text}\n" for each in translations).encode())
    durable.write_json(folder / SUMMARY, _summary(translations))


def _summary(translations: list[Translation]) -> JsonValue:
    return {
        "sentences": len(translations),
        "blank": sum(not each.source or each.source.isspace() for each in translations),
        "empty": sum(not each.text for each in translations),
        "pieces": sum(len(each.pieces) for each in translations),
        "unknown_source_pieces": sum(each.unknown for each in translations),
    }
