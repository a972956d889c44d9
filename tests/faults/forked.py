"""Processes that begin with everything imported: forked from a server that holds torch, so that a kill costs no start-up.

The server is a clean process with one thread; what is forked from it computes with one thread, too.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from unittest import mock

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["specforge.steps.train", "specforge.cli.run", "torch._dynamo", "tiny_training", "saves", "kills"]
)


def started(action: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process that does one thing; `action` is a function of an importable module."""
    _start_server()
    process = _CONTEXT.Process(target=_act, args=(action, *arguments), daemon=True)
    process.start()
    return process


def ended(process: BaseProcess, seconds: float = 120.0) -> int:
    """Wait for the end of a process and return its exit code, negative for a signal."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        message = f"a process hung for {seconds} s"
        raise TimeoutError(message)
    return process.exitcode


@cache
def _start_server() -> None:
    """Start the server where it finds our modules: Python 3.11 forgets to tell it the path that we have."""
    with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}):
        forkserver.ensure_running()


def _act(action: Callable[..., None], *arguments: object) -> None:
    import torch

    torch.set_num_threads(1)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # to the end of the process
    try:
        action(*arguments)
    except SystemExit:
        raise
    except BaseException as error:
        from specforge.foundation.errors import SpecforgeError, from_os_error

        if isinstance(error, OSError):
            error = from_os_error(error)
        if isinstance(error, SpecforgeError):
            sys.exit(int(error.exit_code))
        raise
