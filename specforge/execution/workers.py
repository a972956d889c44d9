"""Worker processes: started, listened to, stopped, and their end understood.

Each rank is a process of its own in a process group of its own. It reads its job from one pipe and writes events to
another. When one dies, the others are given a moment to say why and are then killed; whoever died first of its own is named.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_core import PydanticSerializationError

from specforge.execution.job import Job
from specforge.execution.signals import StopRequest
from specforge.foundation import durable
from specforge.foundation.errors import (
    EnvironmentFaultError,
    ExitCode,
    Place,
    SpecforgeError,
    StepFailedError,
    from_record,
    noted,
)
from specforge.foundation.events import ErrorEvent, Event, MessageEvent, decode_event
from specforge.foundation.terminal import printable

WORKER: Final = (sys.executable, "-P", "-m", "specforge.steps.worker")
"""Command of a worker. `-P`: nothing in the folder where the user happens to be may pass for a module of ours."""

GRACE_SECONDS: Final = 25.0
"""How long workers may take to save their state after a request to stop."""

_LAST_WORDS_SECONDS: Final = 1.0  # for the other ranks, once one has died
_POLL_SECONDS: Final = 0.1
_ENDING_SECONDS: Final = 0.005
_TAIL_BYTES: Final = 4_096
_TAIL_LINES: Final = 12
_LOOPBACK: Final = "lo0" if sys.platform == "darwin" else "lo"
_UNEXPECTED: Final = "SF632"


@dataclass(frozen=True, slots=True)
class Launch:
    """How the workers of a step are started.

    Args:
        jobs: one for each rank, rank 0 first; `events` is filled in.
        log: file that takes what they print; None hands our own streams down to a single worker, which then stays in
            our process group, so that it may read the terminal.
        inherited: descriptors that they keep open: the lock of the step.
        command: program and arguments; `--job-fd N` is added.
    """

    jobs: Sequence[Job]
    log: Path | None
    inherited: tuple[int, ...] = ()
    command: tuple[str, ...] = WORKER


def available_threads(world: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return how many threads each of `world` processes may use: OMP_NUM_THREADS, else its share of the cores."""
    asked = environment.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // world)


def run_workers(launch: Launch, on_event: Callable[[Event], None], stop: StopRequest) -> None:
    """Run the workers of a step to their end.

    Args:
        launch: what to start.
        on_event: told all events but errors.
        stop: requests to stop; passed on to the workers.

    Raises:
        SpecforgeError: a worker failed, died, or was stopped.
    """
    with ExitStack() as opened:
        log = None if launch.log is None else opened.enter_context(durable.open_log(launch.log))
        begin = 0 if log is None else log.tell()
        team = _Team(stop)
        opened.callback(team.close)
        for job in launch.jobs:
            team.workers.append(_start(launch, job, None if log is None else log.fileno()))
        team.listen(on_event)
    failed = _culprit(team)
    if failed is not None:
        raise _error(failed, len(launch.jobs), launch.log, begin, stop)


@dataclass(slots=True)
class _Worker:
    """A process and what has been heard of it."""

    rank: int
    process: subprocess.Popen[bytes]
    events: int
    own_group: bool
    heard: bytearray = field(default_factory=bytearray)
    error: SpecforgeError | None = None
    killed: bool = False  # by us

    def signal(self, number: signal.Signals) -> None:
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

    def hear(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that some bytes complete; errors are kept instead."""
        *lines, rest = (bytes(self.heard) + chunk).split(b"\n")
        self.heard = bytearray(rest)
        for line in lines:
            event = _decoded(line)
            if isinstance(event, ErrorEvent):
                self.error = from_record(event.error)
            else:
                yield event


def _decoded(line: bytes) -> Event:
    try:
        return decode_event(line.decode())
    except ValueError:
        return MessageEvent("warning", f"the worker said something strange: {printable(repr(line), longest=80)}")


class _Team:
    """All ranks of a step."""

    def __init__(self, stop: StopRequest) -> None:
        self.workers: list[_Worker] = []
        self._stop = stop
        self._asked = False
        self._deadline: float | None = None

    def listen(self, on_event: Callable[[Event], None]) -> None:
        """Pass events on until all workers have ended, by themselves or by our signals."""
        with selectors.DefaultSelector() as selector:
            for worker in self.workers:
                selector.register(worker.events, selectors.EVENT_READ, worker)
            while any(worker.process.poll() is None for worker in self.workers):
                self._forward_stop()
                self._end_late_ones()
                # who has closed its pipe is about to end
                self._hear(selector, on_event, _POLL_SECONDS if selector.get_map() else _ENDING_SECONDS)
            while self._hear(selector, on_event, 0):
                pass

    @staticmethod
    def _hear(selector: selectors.BaseSelector, on_event: Callable[[Event], None], seconds: float) -> bool:
        ready = selector.select(seconds)
        for key, _ in ready:
            worker: _Worker = key.data
            chunk = os.read(worker.events, 1 << 16)
            if not chunk:
                selector.unregister(worker.events)
            for event in worker.hear(chunk):
                on_event(event)
        return bool(ready)

    def _forward_stop(self) -> None:
        if self._stop.count and not self._asked:
            self._asked = True
            self._deadline = time.monotonic() + GRACE_SECONDS
            for worker in self.workers:
                worker.signal(signal.SIGTERM)
        if self._stop.count > 1:
            self._deadline = time.monotonic()

    def _end_late_ones(self) -> None:
        codes = [worker.process.poll() for worker in self.workers]
        if self._deadline is None and any(code not in {None, 0} for code in codes):
            # ranks that stop with their state saved may take as long as the last of them needs for saving
            stopping = all(code in {None, 0, ExitCode.STOPPED} for code in codes)
            self._deadline = time.monotonic() + (GRACE_SECONDS if stopping else _LAST_WORDS_SECONDS)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.kill()

    def kill(self) -> None:
        """End all workers at once, with whatever they started."""
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.process.wait()

    def close(self) -> None:
        """Leave nothing behind: no process, no descriptor."""
        self.kill()
        for worker in self.workers:
            os.close(worker.events)


def _start(launch: Launch, job: Job, log: int | None) -> _Worker:
    attached = log is None
    job_read, job_write = os.pipe()
    events_read, events_write = os.pipe()
    try:
        told = _told(job.model_copy(update={"events": events_write}))
        process = subprocess.Popen(
            [*launch.command, "--job-fd", str(job_read)],
            stdin=None if attached else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(job_read, events_write, *launch.inherited),
            process_group=None if attached else 0,
            env=_environment(job),
        )
    except BaseException:
        os.close(job_write)
        os.close(events_read)
        raise
    finally:
        os.close(job_read)
        os.close(events_write)
    with suppress(BrokenPipeError), os.fdopen(job_write, "wb") as pipe:  # if it died at once, its exit code says so
        pipe.write(told)
    return _Worker(job.rank, process, events_read, own_group=not attached)


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


def _environment(job: Job) -> dict[str, str]:
    # Threads that spin while they wait make a busy machine crawl: docs/decisions/waiting-threads.md has the figures.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "OMP_NUM_THREADS": str(job.threads)}
    if job.world > 1:  # ranks of one machine talk over loopback only; other interfaces would be open to the network
        environment |= {"GLOO_SOCKET_IFNAME": _LOOPBACK, "NCCL_SOCKET_IFNAME": _LOOPBACK}
    return environment


def _culprit(team: _Team) -> _Worker | None:
    """Return the worker to blame, or None when all ended well.

    When one rank dies, the others fail because of it. So a rank that was killed by someone else comes first, then one
    with an error that was foreseen, then one that did not expect what it met, then one that we ended ourselves.
    """

    def blame(worker: _Worker) -> tuple[int, int]:
        if worker.killed:
            return 4, worker.rank
        if worker.error is None:
            return (0 if worker.process.returncode < 0 else 3), worker.rank
        return (2 if worker.error.code == _UNEXPECTED else 1), worker.rank

    return min((worker for worker in team.workers if worker.process.returncode != 0), key=blame, default=None)


def _error(failed: _Worker, world: int, log: Path | None, begin: int, stop: StopRequest) -> SpecforgeError:
    said = failed.error
    if stop.count and (said is None or said.exit_code == ExitCode.STOPPED):
        return stop.error(said)
    if said is None:
        return _died(failed, world, log, begin)
    stopped = said.exit_code == ExitCode.STOPPED
    notes = [f"rank {failed.rank} of {world} failed"] if world > 1 and not stopped else []
    if said.code == _UNEXPECTED and log is not None:
        notes.append(f"its traceback is at the end of {log}")
    return noted(said, *notes)


def _died(failed: _Worker, world: int, log: Path | None, begin: int) -> SpecforgeError:
    code = failed.process.returncode
    who = f"rank {failed.rank} of {world}" if world > 1 else "the worker"
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code} and did not say why"
    notes = () if log is None else _tail(log, begin)
    out_of_memory = "SIGKILL often means that the system ran out of memory" if code == -signal.SIGKILL else None
    return StepFailedError("SF631", f"{who} {how}", notes=notes, help=out_of_memory)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(log: Path, begin: int) -> tuple[str, ...]:
    """Return the last lines that a worker printed in this attempt."""
    with log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().split("\n")
    return (f"it printed, in {log}:", *(printable(line) for line in lines[-_TAIL_LINES:])) if lines != [""] else ()
