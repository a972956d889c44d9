"""Translation of standard input to standard output with a trained checkpoint, or a model folder; no step of a plan, and no result."""

from __future__ import annotations

import os
from typing import Final

import torch

from specforge.execution.job import Job
from specforge.foundation.events import Reporter
from specforge.generation.streaming import translate_stream
from specforge.steps.decoding import folder_generator, trained_generator

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2
_CHUNK: Final = 1 << 16


def run(job: Job, reporter: Reporter) -> None:
    """Translate until the input ends, or until nobody reads the output any more.

    Raises:
        WrongInputError: as `translate_stream`; line numbers are those of standard input.
        CorruptStateError, EnvironmentFaultError: as `trained_generator`.
        RefusedError: as `folder_generator`.
    """
    output = _take_stdout()
    generator = folder_generator(job, reporter) if "model" in job.needs else trained_generator(job)
    if os.isatty(_STDIN):
        reporter.message("type a line and press Enter; Ctrl-D ends")

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(output, data) :]

    try:
        with torch.inference_mode():
            translate_stream(generator, lambda: os.read(_STDIN, _CHUNK), write)
    except BrokenPipeError:
        return  # whoever reads has seen enough
    finally:
        os.close(output)


def _take_stdout() -> int:
    """Return standard output for us alone; what libraries and plugins print goes to standard error from now on."""
    output = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    return output
