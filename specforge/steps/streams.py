"""Standard output for a worker that answers there, and for nobody else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

Write: TypeAlias = Callable[[bytes], None]
"""Takes bytes and hands them on at once."""

_STDOUT: Final = 1
_STDERR: Final = 2


@contextmanager
def standard_output() -> Iterator[Write]:
    """Yield what writes to standard output; what libraries and plugins print meanwhile goes to standard error.

    A reader that has seen enough ends the block, and is no error.
    """
    output = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(output, data) :]

    try:
        with suppress(BrokenPipeError):
            yield write
    finally:
        sys.stdout.flush()  # what was printed meanwhile
        os.dup2(output, _STDOUT)
        os.close(output)
