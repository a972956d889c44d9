"""A translate job that reads and writes files, run where the test runs or in a process that may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from pydantic import JsonValue
from trained_model import decoding_job

from specforge.execution.job import Job
from specforge.foundation.events import Reporter, SilentReporter
from specforge.steps import translate


def file_job(trained: Path, source: Path, output: Path | None, **options: JsonValue) -> Job:
    """Return a job that translates a file, to another one or to standard output."""
    job = decoding_job("translate", trained, [], None)
    target = {} if output is None else {"output": str(output)}
    asked: JsonValue = {"files": [str(source)], **target, **options}
    return job.model_copy(update={"settings": {**job.settings, "translate": asked}})


def translated(job: Job, group_lines: int = 4, reporter: Reporter | None = None) -> bytes:
    """Run a job, so many lines at once, and return what it writes to standard output."""
    written: list[bytes] = []

    @contextmanager
    def collected() -> Iterator[object]:
        yield written.append

    with (
        mock.patch.object(translate, "standard_output", collected),
        mock.patch.object(translate, "GROUP_LINES", group_lines),
    ):
        translate.run(job, reporter or SilentReporter())
    return b"".join(written)


def translate_told(job: str) -> None:
    """Run a job given as JSON; for a process of its own."""
    translated(Job.model_validate_json(job))
