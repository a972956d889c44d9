"""The generate step: what a test is read from in, `hypotheses.txt` and `summary.json` out.

- `hypotheses.txt`: one line for each input line, in order, each ended by LF; searched for (a blank input line gives an
  empty one), or a label predicted at once
- `labels.txt`, where labels are predicted: all that can be, so that score knows a label that cannot
- `summary.json`: counts, the same on every machine; how long it took goes to the log
"""

from __future__ import annotations

import time
from collections import Counter
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
from specforge.steps.parts import task_config
from specforge.steps.predicting import predicted_lines

HYPOTHESES: Final = "hypotheses.txt"
SUMMARY: Final = "summary.json"
LABELS: Final = "labels.txt"


def run(job: Job, reporter: Reporter) -> None:
    """Decode a test.

    Raises:
        WrongInputError: SF504, the test is empty; SF506, a line is longer than the model's positions; others as
            `specforge.data.readers.read_rows`.
        CorruptStateError, EnvironmentFaultError: as `trained_generator`.
    """
    assert job.output is not None
    config = task_config(job.settings["task"])
    inputs = _read_sources(job, config.columns()[0].role, reporter)
    begun = time.monotonic()
    with torch.inference_mode():
        made = _searched(job, inputs, reporter) if config.searches else _predicted(job, inputs, reporter)
    seconds = time.monotonic() - begun
    durable.write_file(Path(job.output) / HYPOTHESES, "".join(f"{line}\n" for line in made.lines).encode())
    durable.write_json(Path(job.output) / SUMMARY, made.summary)
    reporter.record(
        "summary",
        sentences=len(made.lines),
        seconds=round(seconds, 3),
        sentences_per_second=len(made.lines) / seconds,
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of a test: a line for each of its lines, and figures."""

    lines: list[str]
    summary: JsonValue


def _searched(job: Job, inputs: _Sources, reporter: Reporter) -> _Made:
    generator = trained_generator(job)
    translations = generator.translate(
        inputs.lines, lambda done: reporter.progress(done, len(inputs.lines), "sentences"), inputs.place
    )
    return _Made([each.text for each in translations], _summary(translations))


def _predicted(job: Job, inputs: _Sources, reporter: Reporter) -> _Made:
    labels, known = predicted_lines(
        job, inputs.lines, lambda done: reporter.progress(done, len(inputs.lines), "sentences"), inputs.place
    )
    assert job.output is not None
    durable.write_file(Path(job.output) / LABELS, known.to_bytes())
    counts = Counter(labels)
    return _Made(labels, {"sentences": len(labels), "labels": {label: counts[label] for label in sorted(counts)}})


@dataclass(slots=True)
class _Sources:
    """The lines that are read.

    Args:
        job: the job, which knows the files.
        role: their column.
        lines: in the order of the files.
        rows: number of the corpus and of the row in it, for each line.
    """

    job: Job
    role: str
    lines: list[str] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)

    def place(self, number: int) -> Place:
        """Return where the user finds a line."""
        corpus_number, row = self.rows[number]
        corpus = self.job.corpora[corpus_number]
        path = corpus.files.get(self.role, corpus.files.get(""))
        return Place(str(path), row + 1 + corpus.header)


def _read_sources(job: Job, role: str, reporter: Reporter) -> _Sources:
    sources = _Sources(job, role)
    remarks = RowRemarks()
    for corpus_number, corpus in enumerate(job.corpora):
        for row_number, (side, row) in enumerate(sided_rows(job, corpus, remarks, [role])):
            if side == "test":
                sources.lines.append(row[0])
                sources.rows.append((corpus_number, row_number))
    report_remarks(remarks, reporter)
    if not sources.lines:
        raise WrongInputError("SF504", "the test has no lines", help="a hold-out may be too small a share")
    return sources


def _summary(translations: list[Translation]) -> JsonValue:
    return {
        "sentences": len(translations),
        "blank": sum(not each.source or each.source.isspace() for each in translations),
        "empty": sum(not each.text for each in translations),
        "pieces": sum(len(each.pieces) for each in translations),
        "unknown_source_pieces": sum(each.unknown for each in translations),
    }
