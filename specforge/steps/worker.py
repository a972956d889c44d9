"""The worker process: reads its job, runs one step (or one rank of it), and ends with the exit code of what went wrong.

Started by the runner as `python -m specforge.steps.worker --job-fd N`. The job is the JSON that file descriptor N holds up
to its end; events go to the descriptor that the job names; standard error is for tracebacks. Torch is imported only by the
kinds of step that compute with it.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from specforge.execution.job import Job
from specforge.foundation.errors import (
    EnvironmentFaultError,
    ExitCode,
    SpecforgeError,
    StepFailedError,
    from_os_error,
)
from specforge.foundation.events import Reporter, SilentReporter
from specforge.foundation.orphans import die_with_parent
from specforge.steps.reporting import PipeReporter

_KINDS_WITH_TORCH: Final = frozenset({"train", "generate", "translate", "logprob", "export", "estimate", "shapes"})

# Read by the libraries under numpy and torch when they are loaded, so set before.
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job.

    Args:
        arguments: command line without the program's name; default: the process's own.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m specforge.steps.worker", description="Runs one step of a plan.")
    parser.add_argument("--job-fd", type=int, required=True, help="file descriptor to read the job from")
    descriptor: int = parser.parse_args(arguments).job_fd
    faulthandler.enable()
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # only train has something to save, and installs its own
    with os.fdopen(descriptor, "rb") as file:
        job = Job.model_validate_json(file.read())
    if job.stacks is not None:  # in C, without the interpreter's lock: a worker that hangs can still be asked
        faulthandler.register(signal.SIGUSR1, file=job.stacks, all_threads=True)
    if job.events is None:
        return run(job, SilentReporter())
    with os.fdopen(job.events, "wb", buffering=0) as pipe:
        reporter = PipeReporter(pipe)
        return run(job, reporter, reporter)


def run(job: Job, reporter: Reporter, failures: PipeReporter | None = None) -> int:
    """Run a job and turn whatever it raises into an exit code.

    Args:
        job: the job.
        reporter: where the step says what it does.
        failures: where to say why it failed, besides standard error.
    """
    try:
        _set_threads(job)
        step = importlib.import_module(f"specforge.steps.{job.kind}")
        step.run(job, reporter)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except (Exception, SystemExit) as caught:  # noqa: BLE001  # a plugin may raise anything; the runner must hear of it
        error = as_specforge_error(caught)
        said_by_us = isinstance(caught, SpecforgeError) and caught.__cause__ is None  # where it was said helps nobody
        if error.exit_code is ExitCode.STEP_FAILED and not said_by_us:
            traceback.print_exception(caught)
        if failures is not None:
            with suppress(OSError):  # the runner is gone: nobody is left to be told
                failures.error(error.record())
        return error.exit_code
    return ExitCode.DONE


def as_specforge_error(error: BaseException) -> SpecforgeError:
    """Return what an exception means to the user."""
    if isinstance(error, SpecforgeError):
        return error
    if isinstance(error, OSError):
        return from_os_error(error)
    if isinstance(error, MemoryError):
        return EnvironmentFaultError("SF605", "out of memory")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return StepFailedError(
        "SF632",
        f"unexpected {what}",
        help="this is a fault of specforge or of a plugin; the step's log has the traceback",
    )


def _set_threads(job: Job) -> None:
    """Let the process use as many threads as the job says, in numpy's and torch's libraries."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(job.threads)
    measures = job.kind == "score" and "train" in job.needs  # the model itself, not its outputs
    if job.kind in _KINDS_WITH_TORCH or measures:
        import torch

        torch.set_num_threads(job.threads)


if __name__ == "__main__":
    sys.exit(main())
