"""The data of a trial: the result of preprocess where there is one, else a few thousand lines prepared for the trial alone.

The sample is cut, filtered and numbered by the steps themselves; nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final, TypeAlias

from pydantic import JsonValue

from specforge.data.hold_out import Side
from specforge.data.readers import Row, RowRemarks
from specforge.data.samples import sampled
from specforge.execution.job import CorpusJob, Job
from specforge.execution.questions.text_findings import DataSource, TokenizerOrigin
from specforge.foundation import durable
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import Reporter, SilentReporter
from specforge.plugin import TokenizerConfig
from specforge.steps import preprocess, tokenizer
from specforge.steps.corpora import sided_rows
from specforge.steps.parts import configured, task_config

SAMPLE_ROWS: Final = 4_000
"""Rows of a sample: enough for the vocabulary of a small experiment, read and cut in a second or two."""

NumberedRow: TypeAlias = tuple[int, Row]
"""A row with its line in its corpus, from 1; the header of a table is a line."""

_TOO_LITTLE_TEXT: Final = "SF305"
_GROWTH: Final = 8


@dataclass(slots=True)
class SampledRows:
    """Rows of the corpora of a job, evenly spread over each, with their lines in their corpora.

    Args:
        train: for each training corpus its rows.
        valid: validation rows, held-out ones too.
        whole: whether there are no further training rows.
    """

    train: list[list[NumberedRow]] = field(default_factory=list)
    valid: list[NumberedRow] = field(default_factory=list)
    whole: bool = True


def sampled_rows(job: Job, limit: int) -> SampledRows:
    """Read up to `limit` rows of all training corpora together, those that they hold out included, and of the validation.

    Raises:
        WrongInputError: as `specforge.data.readers.read_rows`.
    """
    found = SampledRows()
    trained_on = [corpus for corpus in job.corpora if corpus.role.startswith("train/")]
    for corpus in trained_on:
        rows, whole = _spread(job, corpus, -(-limit // len(trained_on)))
        found.train.append(rows["train"])
        found.valid += rows["valid"]
        found.whole = found.whole and whole
    for corpus in job.corpora:
        if corpus.role == "valid":
            found.valid += _spread(job, corpus, limit)[0]["valid"]
    return found


def _spread(job: Job, corpus: CorpusJob, most: int) -> tuple[dict[Side, list[NumberedRow]], bool]:
    """Return a sample of a corpus by side, and whether it is all of the corpus: files are often sorted by length."""
    numbered = enumerate(sided_rows(job, corpus, RowRemarks()), start=1 + corpus.header)
    if corpus.lines is None:
        sample = list(islice(numbered, most))
        whole = next(numbered, None) is None
    else:
        size = sum(Path(path).stat().st_size for path in corpus.files.values())
        sample = list(sampled(numbered, corpus.lines, size, most))
        whole = len(sample) >= corpus.lines - corpus.header
    rows: dict[Side, list[NumberedRow]] = {"train": [], "valid": [], "test": []}
    for line, (side, row) in sample:
        rows[side].append((line, row))
    return rows, whole


def lines_of(job: Job) -> int | None:
    """Return how many lines of text a job trains on, None when that is not known of one corpus.

    Headers are none; of a hold-out the share is taken off, which is within a few lines of what is really held out.
    """
    lines = [_trained_on(corpus) for corpus in job.corpora if corpus.role.startswith("train/")]
    known = [count for count in lines if count is not None]
    return sum(known) if len(known) == len(lines) else None


def _trained_on(corpus: CorpusJob) -> int | None:
    if corpus.lines is None:
        return None
    held_out = sum(share for share in (corpus.hold_out or {}).values() if isinstance(share, float))
    return round((corpus.lines - corpus.header) * (1.0 - held_out))


def prepare_data(job: Job, scratch: Path, reporter: Reporter) -> tuple[Path, DataSource]:
    """Return a folder as preprocess writes it, and what is in it.

    Args:
        job: `needs` names the results of tokenizer and preprocess where they are there.
        scratch: folder to write a sample to.
        reporter: hears the warnings of the steps.

    Raises:
        WrongInputError: a file is wrong, or all of the text is too little for the tokenizer (SF305).
    """
    learned = _learned(job)
    if "preprocess" in job.needs:
        origin: TokenizerOrigin = "result" if learned else "untrained"
        source = DataSource(prepared=True, rows=0, lines=lines_of(job), whole=True, tokenizer=origin)
        return Path(job.needs["preprocess"]), source
    rows = SAMPLE_ROWS
    while True:
        sample = sampled_rows(job, rows)
        folder = durable.make_folder(scratch / f"sample-{rows}")
        try:
            prepared, origin = _prepare(job, sample, folder, reporter)
        except WrongInputError as error:
            if error.code != _TOO_LITTLE_TEXT or sample.whole:
                raise
            rows *= _GROWTH
            continue
        read = sum(len(train) for train in sample.train)
        source = DataSource(prepared=False, rows=read, lines=lines_of(job), whole=sample.whole, tokenizer=origin)
        return prepared, source


def _learned(job: Job) -> bool:
    _, config = configured("tokenizer", job.settings["tokenizer"])
    return isinstance(config, TokenizerConfig) and config.trained


class _Warnings(SilentReporter):
    """Passes warnings on: the steps' figures are about the sample, what they find odd is about the spec."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def warning(self, text: str) -> None:
        self._reporter.warning(text)


def _prepare(job: Job, sample: SampledRows, folder: Path, reporter: Reporter) -> tuple[Path, TokenizerOrigin]:
    """Run the steps up to preprocess on a sample; return its folder and where the tokenizer is from."""
    quiet = _Warnings(reporter)
    sampled = _sampled_job(job, sample, folder)
    origin: TokenizerOrigin = "untrained"
    if _learned(job):
        origin = "result" if "tokenizer" in job.needs else "sample"
    if origin == "sample":
        output = durable.make_folder(folder / "tokenizer")
        tokenizer.run(sampled.model_copy(update={"kind": "tokenizer", "output": str(output)}), quiet)
        sampled = sampled.model_copy(update={"needs": {"tokenizer": str(output)}})
    output = durable.make_folder(folder / "preprocess")
    preprocess.run(sampled.model_copy(update={"kind": "preprocess", "output": str(output)}), quiet)
    return output, origin


def _sampled_job(job: Job, sample: SampledRows, folder: Path) -> Job:
    """Return the job with its corpora replaced by files that hold the sample."""
    roles = [column.role for column in task_config(job.settings["task"]).columns()]
    corpora = [_written(folder, f"train/{number}", roles, rows) for number, rows in enumerate(sample.train)]
    # Of a small hold-out the sample may have no row; then training text stands in for it.
    valid = sample.valid or next((rows for rows in sample.train if rows), [])
    corpora.append(_written(folder, "valid", roles, valid))
    run = job.settings["run"]
    assert isinstance(run, dict)
    one: dict[str, JsonValue] = {**run, "workers": 1}  # starting processes takes longer than cutting so few lines
    needs = {kind: where for kind, where in job.needs.items() if kind == "tokenizer"}
    return job.model_copy(update={"corpora": corpora, "needs": needs, "settings": {**job.settings, "run": one}})


def _written(folder: Path, role: str, roles: Sequence[str], rows: Sequence[NumberedRow]) -> CorpusJob:
    files = {name: folder / f"{role.replace('/', '-')}.{name}" for name in roles}
    with ExitStack() as opened:
        _write(rows, [opened.enter_context(durable.new_file(files[name])) for name in roles])
    return CorpusJob(role=role, format="text", files={name: str(path) for name, path in files.items()})


def _write(rows: Sequence[NumberedRow], files: Sequence[IO[bytes]]) -> None:
    for _, row in rows:
        for text, file in zip(row, files, strict=True):
            file.write(text.encode() + b"\n")
