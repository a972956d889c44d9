"""The corpora of a job as rows: which files, which columns, which side of a hold-out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from specforge.data.hold_out import HoldOut, Side
from specforge.data.readers import CorpusFiles, Row, RowRemarks, read_rows
from specforge.execution.job import CorpusJob, Job
from specforge.foundation.events import Reporter
from specforge.foundation.quantities import counted
from specforge.language.spec import REFERENCE
from specforge.plugin import Column
from specforge.steps.parts import task_config


def split_rows(job: Job, side: Side, remarks: RowRemarks, roles: Sequence[str] | None = None) -> Iterator[Row]:
    """Yield all rows of one side, over all corpora of a job that have some.

    A corpus in the role `train/0`, `valid` or `test` has the side of its role; rows that a training corpus holds out have
    the side that they are held out for.

    Args:
        job: its settings name the task, whose columns the rows have, and the seed.
        side: train, valid or test.
        remarks: counts what is in the files and not in the rows.
        roles: the columns to read, in this order; default: all of the task's. No file of another column is opened.

    Raises:
        WrongInputError: as `specforge.data.readers.read_rows`.
    """
    for corpus in job.corpora:
        for found, row in sided_rows(job, corpus, remarks, roles):
            if found == side:
                yield row


def sided_rows(
    job: Job, corpus: CorpusJob, remarks: RowRemarks, roles: Sequence[str] | None = None
) -> Iterator[tuple[Side, Row]]:
    """Yield each row of a corpus with its side; arguments and errors as `split_rows`."""
    task = task_config(job.settings["task"]).columns()
    known = (*task, *(Column(f"{REFERENCE}{nth}", name) for nth, name in enumerate(corpus.references)))
    columns = list(task) if roles is None else [column for role in roles for column in known if column.role == role]
    own = _side(corpus)
    if not corpus.hold_out:
        yield from ((own, row) for row in read_rows(corpus_files(corpus), columns, remarks))
        return
    wanted = len(columns)
    hold_out = _hold_out(job, corpus, task, columns)
    for number, row in enumerate(read_rows(corpus_files(corpus), columns, remarks)):
        yield hold_out.side(number, row), row[:wanted]


def reference_roles(job: Job) -> list[str]:
    """Return the roles of the columns that outputs of a test are scored against, the first one before all others."""
    own = [f"{REFERENCE}{nth}" for corpus in job.corpora for nth in range(len(corpus.references))]
    return own or [task_config(job.settings["task"]).predicted]


def corpus_files(corpus: CorpusJob) -> CorpusFiles:
    """Return where a corpus lies."""
    files = {role: Path(path) for role, path in corpus.files.items()}
    return CorpusFiles(corpus.format, files, corpus.header, tuple(corpus.columns))


def report_remarks(remarks: RowRemarks, reporter: Reporter) -> None:
    """Tell the user what was found in the text and is not in the rows."""
    if remarks.carriage_returns:
        reporter.message(f"{counted(remarks.carriage_returns, 'line')} with CR LF at the end; the CR was left out")
    if remarks.byte_order_marks:
        reporter.message(f"{counted(remarks.byte_order_marks, 'file')} with a byte order mark; it was left out")
    if remarks.line_feeds:
        reporter.message(f"{counted(remarks.line_feeds, 'text')} with line ends inside; each became a space")


def _side(corpus: CorpusJob) -> Side:
    match corpus.role.partition("/")[0]:
        case "train":
            return "train"
        case "valid":
            return "valid"
        case _:
            return "test"


def _hold_out(job: Job, corpus: CorpusJob, task: Sequence[Column], columns: list[Column]) -> HoldOut:
    """Return how a corpus is split; the column that decides is added to `columns` where it is not among them."""
    assert corpus.hold_out is not None
    seed = job.settings["seed"]
    assert isinstance(seed, int)
    valid, test = (_share(corpus.hold_out.get(name)) for name in ("valid", "test"))
    name = corpus.hold_out.get("distinct")
    if not isinstance(name, str):
        return HoldOut(seed, valid, test)
    column = next((column for column in task if column.name == name), Column(name, name))
    if column not in columns:
        columns.append(column)
    return HoldOut(seed, valid, test, columns.index(column))


def _share(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
