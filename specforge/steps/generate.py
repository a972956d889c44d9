"""The generate step: what a test is read from in, `hypotheses.txt` and `summary.json` out.

- `hypotheses.txt`: one line for each input line, in order, each ended by LF; searched for (a blank input line gives an
  empty one), or a label predicted at once
- `hypotheses.tsv`, `.jsonl` or `.fairseq`, where `generate.nbest`, `format` or `alignment` ask for more of each line
- `labels.txt`, where labels are predicted: all that can be, so that score knows a label that cannot
- `summary.json`: counts, the same on every machine; how long it took goes to the log
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch
from pydantic import JsonValue

from specforge.data.readers import RowRemarks
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.generation.formats import Columns, aligned_units, render_fairseq, renderer
from specforge.generation.translation import Translation, Wanted
from specforge.language.schema.generate import GenerateSection
from specforge.steps.corpora import reference_roles, report_remarks, sided_rows
from specforge.steps.decoding import generate_section, trained_generator
from specforge.steps.long_line_report import LongLineReport
from specforge.steps.parts import task_config
from specforge.steps.predicting import predicted_lines

HYPOTHESES: Final = "hypotheses.txt"
SUMMARY: Final = "summary.json"
LABELS: Final = "labels.txt"
MORE: Final = MappingProxyType({"text": "hypotheses.tsv", "jsonl": "hypotheses.jsonl", "fairseq": "hypotheses.fairseq"})
"""The file that says more of each line than its best output, by `generate.format`."""


def run(job: Job, reporter: Reporter) -> None:
    """Decode a test.

    Raises:
        WrongInputError: SF504, the test is empty; SF506, a line is longer than the model's positions; others as
            `specforge.data.readers.read_rows`.
        CorruptStateError, EnvironmentFaultError: as `trained_generator`.
    """
    assert job.output is not None
    config = task_config(job.settings["task"])
    roles = [config.columns()[0].role]
    if config.searches and config.predicted not in roles and generate_section(job).format == "fairseq":
        roles.append(reference_roles(job)[0])  # its lines show the reference too
    inputs = _read_sources(job, roles, reporter)
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
    section = generate_section(job)
    units = aligned_units(section.format) if section.alignment else None
    generator = trained_generator(job, Wanted(section.nbest, units, section.replace_unk, section.too_long))
    total = len(inputs.lines)
    translations = generator.translate(
        inputs.lines, lambda done: reporter.progress(min(done, total), total, "sentences"), inputs.place
    )
    long = LongLineReport(section.too_long)
    for number, translation in enumerate(translations):
        if translation.too_long:
            long.add(inputs.place(number))
    long.tell(reporter)
    if section.nbest > 1 or section.format != "text" or section.alignment:
        references = generator.target_pieces(inputs.references)
        _write_more(job, section, translations, references)
    return _Made([each.text for each in translations], {**_summary(translations), "too_long": long.summary()})


def _write_more(
    job: Job, section: GenerateSection, translations: list[Translation], references: list[list[str]]
) -> None:
    """Write what is to be known of each line besides its best output; references are there for fairseq's lines only."""
    if references:
        pairs = zip(translations, references, strict=True)
        lines = [render_fairseq(number, each, reference) for number, (each, reference) in enumerate(pairs)]
    else:
        render = renderer(section.format, Columns(line=True, score=True, alignment=section.alignment))
        lines = [render(number, each) for number, each in enumerate(translations)]
    assert job.output is not None
    durable.write_file(Path(job.output) / MORE[section.format], "".join(lines).encode())


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
        references: of the lines, where they are asked for.
        rows: number of the corpus and of the row in it, for each line.
    """

    job: Job
    role: str
    lines: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)

    def place(self, number: int) -> Place:
        """Return where the user finds a line."""
        corpus_number, row = self.rows[number]
        corpus = self.job.corpora[corpus_number]
        path = corpus.files.get(self.role, corpus.files.get(""))
        return Place(str(path), row + 1 + corpus.header)


def _read_sources(job: Job, roles: list[str], reporter: Reporter) -> _Sources:
    sources = _Sources(job, roles[0])
    remarks = RowRemarks()
    for corpus_number, corpus in enumerate(job.corpora):
        for row_number, (side, row) in enumerate(sided_rows(job, corpus, remarks, roles)):
            if side == "test":
                sources.lines.append(row[0])
                sources.references += row[1:]
                sources.rows.append((corpus_number, row_number))
    report_remarks(remarks, reporter)
    if not sources.lines:
        raise WrongInputError("SF504", "the test has no lines", help="a hold-out may be too small a share")
    return sources


def _summary(translations: list[Translation]) -> dict[str, JsonValue]:
    return {
        "sentences": len(translations),
        "blank": sum(not each.source or each.source.isspace() for each in translations),
        "empty": sum(not each.text for each in translations),
        "pieces": sum(len(each.pieces) for each in translations),
        "unknown_source_pieces": sum(each.unknown for each in translations),
    }
