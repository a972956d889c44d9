"""The tokenizer step: a tokenizer learns from the training text.

The result holds `tokenizer/`, the files that the tokenizer keeps, and `summary.json`, figures for people.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from specforge.data.readers import RowRemarks
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import Reporter
from specforge.steps.corpora import split_rows
from specforge.steps.parts import make_tokenizer, task_config

_REPORT_EVERY = 1_000


def run(job: Job, reporter: Reporter) -> None:
    """Train the tokenizer of a job.

    Raises:
        WrongInputError: there is no training text (SF504), or it does not fit the tokenizer's settings.
    """
    assert job.output is not None
    columns = [column for column in task_config(job.settings["task"]).columns() if not column.labels]
    seed = job.settings["seed"]
    assert isinstance(seed, int)
    tokenizer = make_tokenizer(job.settings["tokenizer"])
    texts = {column.role: partial(_column, job, column.role, reporter) for column in columns}
    files = tokenizer.train(texts, seed)
    folder = durable.make_folder(Path(job.output) / "tokenizer")
    for name, data in files.items():
        durable.write_file(folder / name, data)
    durable.write_json(Path(job.output) / "summary.json", {"files": {name: len(data) for name, data in files.items()}})
    for remark in tokenizer.remarks():
        reporter.message(remark)


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """Return the tokenizer's files of a step's result or of a model folder, by name; none where it keeps none."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("tokenizer/*"))}


def _column(job: Job, role: str, reporter: Reporter) -> Iterator[str]:
    """Yield the training text of one column, from the beginning."""
    lines = 0
    for (text,) in split_rows(job, "train", RowRemarks(), [role]):  # preprocess tells what was left out of the text
        lines += 1
        if lines % _REPORT_EVERY == 0:
            reporter.progress(lines, None, "lines")
        yield text
    if not lines:
        raise WrongInputError(
            "SF504", "there is no training text", help="the corpora are empty, or all of it is held out"
        )
