"""Runs a worker as the runner does: the job through one pipe, the events through another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from specforge.execution.job import Job
from specforge.foundation.events import Event, decode_event

ROOT = Path(__file__).parent.parent.parent


class Ended(NamedTuple):
    """What is left of a worker: its exit code, what it told the runner, what it printed to standard error."""

    code: int
    events: list[Event]
    stderr: str


def run_worker(job: Job, environment: Mapping[str, str] | None = None, prelude: str = "") -> Ended:
    """Run a job in a worker process, after some lines of Python."""
    program = f"{prelude}\nimport sys\nfrom specforge.steps.worker import main\nsys.exit(main())"
    job_end, job_source = os.pipe()
    events_source, events_end = os.pipe()
    with os.fdopen(job_source, "w", encoding="utf-8") as file:  # small enough for the pipe
        file.write(job.model_copy(update={"events": events_end}).model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-c", program, "--job-fd", str(job_end)],
        pass_fds=(job_end, events_end),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    ) as process:
        os.close(job_end)
        os.close(events_end)
        with os.fdopen(events_source, encoding="utf-8") as file:
            events = [decode_event(line) for line in file.read().split("\n") if line]
        _, stderr = process.communicate()
    return Ended(process.returncode, events, stderr)
