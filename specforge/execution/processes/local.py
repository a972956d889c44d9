"""A worker process on this machine: started with its job, heard through pipes, ended with all that it started."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_core import PydanticSerializationError

from specforge.execution.job import Job
from specforge.execution.processes.member import Member
from specforge.foundation.errors import EnvironmentFaultError, Place, from_record
from specforge.foundation.events import ErrorEvent, Event, MessageEvent, decode_event
from specforge.foundation.heartbeat import Pulse
from specforge.foundation.terminal import printable

WORKER_ENVIRONMENT: Final = {
    # Threads that spin while they wait make a busy machine crawl: docs/decisions/waiting-threads.md has the figures.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Memory comes in huge pages: docs/decisions/huge-pages.md.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # To ask whether there is a GPU must not begin to use it: no process that is forked later could.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
"""What workers are started with, unless the user has set it."""

_OLD_ALLOCATOR: Final = "PYTORCH_CUDA_ALLOC_CONF"
_LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
_MOST_BYTES: Final = 1 << 16


@dataclass(slots=True)
class LocalWorker(Member):
    """A process and what has been heard of it.

    Args:
        process: the process.
        events: descriptor of its events.
        heart: its heartbeat.
        stacks: descriptor of the stacks it is asked for.
        own_group: whether it leads a process group of its own.
    """

    process: subprocess.Popen[bytes]
    events: int
    heart: Pulse
    stacks: int
    own_group: bool
    _heard: bytearray = field(default_factory=bytearray)
    _stack: bytearray = field(default_factory=bytearray)

    @property
    def code(self) -> int | None:
        """How it ended."""
        return self.process.poll()

    @property
    def beats(self) -> int:
        """How often its heart has beaten."""
        return self.heart.beats

    def pulse(self) -> bool:
        """Return whether its heart has beaten since the last question."""
        return self.heart.listen()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the process and whatever it started."""
        if self.process.poll() is None:
            self.killed = True
            self.process.kill()
        if self.own_group:
            with suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
                os.killpg(self.process.pid, signal.SIGKILL)

    def show_stack(self) -> None:
        """Have it write its stacks; a stopped process has to go on for that."""
        self.stopped = _is_stopped(self.process.pid)
        self.signal(signal.SIGUSR1)
        self.signal(signal.SIGCONT)

    def stack(self) -> str:
        """Return what it has written since."""
        with suppress(BlockingIOError):
            while chunk := os.read(self.stacks, _MOST_BYTES):
                self._stack += chunk
        return self._stack.decode(errors="replace")

    def hear(self, selector: selectors.BaseSelector, on_event: Callable[[Event], None]) -> None:
        """Pass on the events that have come; errors are kept instead."""
        chunk = os.read(self.events, _MOST_BYTES)
        if not chunk:
            selector.unregister(self.events)
        for event in self._completed(chunk):
            on_event(event)

    def _completed(self, chunk: bytes) -> Iterator[Event]:
        *lines, rest = (bytes(self._heard) + chunk).split(b"\n")
        self._heard = bytearray(rest)
        for line in lines:
            event = _decoded(line)
            if isinstance(event, ErrorEvent):
                self.fail_with(from_record(event.error))
            else:
                yield event

    def close(self) -> None:
        """Wait for its end and close what it was heard by."""
        self.process.wait()
        for descriptor in (self.events, self.stacks):
            os.close(descriptor)
        self.heart.close()


def _is_stopped(process: int) -> bool:
    """Return whether a signal has stopped a process: Linux says so."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return words[:1] in (["T"], ["t"])


def _decoded(line: bytes) -> Event:
    try:
        return decode_event(line.decode())
    except ValueError:
        return MessageEvent("warning", f"the worker said something strange: {printable(repr(line), longest=80)}")


def start(job: Job, command: Sequence[str], log: int | None, inherited: tuple[int, ...] = ()) -> LocalWorker:
    """Start a worker and tell it its job.

    Args:
        job: the job; its descriptors are filled in.
        command: program and arguments; `--job-fd N` is added.
        log: descriptor that takes what it prints; None hands our own streams down, and the worker then stays in our
            process group, so that it may read the terminal.
        inherited: descriptors that it keeps open.
    """
    attached = log is None
    with ExitStack() as ours, ExitStack() as theirs:
        # for each pipe: what we keep, what the worker gets
        job_read, job_write = _pipe(theirs, ours)
        events_read, events_write = _pipe(ours, theirs)
        beats_read, beats_write = _pipe(ours, theirs)
        stacks_read, stacks_write = _pipe(ours, theirs)
        told = _told(job.model_copy(update={"events": events_write, "beats": beats_write, "stacks": stacks_write}))
        process = subprocess.Popen(
            [*command, "--job-fd", str(job_read)],
            stdin=None if attached else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(job_read, events_write, beats_write, stacks_write, *inherited),
            process_group=None if attached else 0,
            env=_environment(job, os.environ),
        )
        theirs.close()
        ours.pop_all()
    os.set_blocking(stacks_read, False)
    with suppress(BrokenPipeError), os.fdopen(job_write, "wb") as pipe:  # if it died at once, its exit code says so
        pipe.write(told)
    return LocalWorker(job.rank, process, events_read, Pulse(beats_read), stacks_read, own_group=not attached)


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Return a new pipe whose ends are closed with what they are given to."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _told(job: Job) -> bytes:
    try:
        return job.model_dump_json().encode()
    except PydanticSerializationError as error:
        paths = [*(path for corpus in job.corpora for path in corpus.files.values()), *job.needs.values(), job.output]
        wrong = next((path for path in paths if path is not None and _is_no_text(path)), None)
        raise EnvironmentFaultError(
            "SF603",
            "a path is not UTF-8, and workers are told their paths as text",
            place=None if wrong is None else Place(wrong),
            help="give the file or folder another name",
        ) from error


def _is_no_text(path: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in path)


def _environment(job: Job, ours: Mapping[str, str]) -> dict[str, str]:
    # Micro-batches differ in size: in segments of a fixed size a GPU's memory falls to pieces. An older name counts, too.
    allocator = {} if _OLD_ALLOCATOR in ours else {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    environment = {**WORKER_ENVIRONMENT, **allocator, **ours, "OMP_NUM_THREADS": str(job.threads)}
    if (
        job.rendezvous is not None
    ):  # ranks of one machine talk over loopback only; other interfaces are open to the network
        environment |= {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}
    return environment
