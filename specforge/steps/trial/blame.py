"""Whose fault it is: what a component raises becomes an error that names the component, the exception and its line."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from specforge.foundation.errors import EnvironmentFaultError, SpecforgeError, StepFailedError
from specforge.foundation.terminal import printable
from specforge.language.spec import Registered


@contextmanager
def blame(registered: Registered, doing: str) -> Iterator[None]:
    """Run a component's code.

    Args:
        registered: the component.
        doing: what it is asked to do: `in its forward pass`.

    Raises:
        StepFailedError: SF142, the code raised something.
        EnvironmentFaultError: SF605, the memory does not suffice.
    """
    try:
        yield
    except SpecforgeError:
        raise
    except Exception as error:
        if (
            isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        ):  # torch's, without importing it
            message = f"out of memory: {title(registered)} {doing}"
            raise EnvironmentFaultError("SF605", message, help="lower `run.max_tokens`") from error
        what = " ".join(f"{type(error).__name__}: {error}".split())
        notes = (what, *_where(error.__traceback__, registered))
        raise StepFailedError("SF142", f"{title(registered)} fails {doing}", notes=notes) from error


def breach(registered: Registered, what: str, *notes: str) -> StepFailedError:
    """Return the error of a component that does not keep its contract (SF143).

    Args:
        registered: the component.
        what: what it does, as a verb with its object.
        notes: what is expected.
    """
    contract = f"the contract stands in `specforge.{_CONTRACTS[registered.component.kind]}`"
    return StepFailedError("SF143", f"{title(registered)} {what}", notes=(*notes, contract))


_CONTRACTS = {
    "task": "tasks.task",
    "tokenizer": "tokenizers.tokenizer",
    "model": "models.model",
    "criterion": "criterions.criterion",
    "optimizer": "plugin",
    "lr_scheduler": "plugin",
    "search": "searches.search",
    "metric": "metrics.metric",
}


def title(registered: Registered) -> str:
    """Return a component in words: ``the model `specforge/transformer` ``."""
    kind = registered.component.kind.replace("lr_scheduler", "schedule")
    return f"the {kind} `{registered.qualified}`"


def _where(trace: TracebackType | None, registered: Registered) -> Iterator[str]:
    """Yield the innermost line of the component's own package, where the exception passed through one."""
    package = registered.component.factory.partition(".")[0].partition(":")[0]
    frames = [(frame, line) for frame, line in traceback.walk_tb(trace) if _package(frame) == package]
    own = [entry for entry in frames if not str(entry[0].f_globals.get("__name__")).startswith("specforge.steps.")]
    if own:
        frame, line = own[-1]
        yield f"raised in `{frame.f_code.co_qualname}`, {printable(frame.f_code.co_filename)}:{line}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
