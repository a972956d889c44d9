"""Worker processes: started, listened to, stopped, and their end understood.

Each rank is a process of its own in a process group of its own. It reads its job from one pipe and writes events to
another. When one dies, the others are given a moment to say why and are then killed; whoever died first of its own is named.
When none makes a step any more, all are asked for their stacks and killed, and the one that the others waited for is named.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from specforge.execution.job import Job
from specforge.execution.processes.blame import culprit, failure, hung
from specforge.execution.processes.local import start
from specforge.execution.processes.team import Team, Watch
from specforge.execution.signals import StopRequest
from specforge.execution.worlds.leader import Leader
from specforge.foundation import durable
from specforge.foundation.events import Event

WORKER: Final = (sys.executable, "-P", "-m", "specforge.steps.worker")
"""Command of a worker. `-P`: nothing in the folder where the user happens to be may pass for a module of ours."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How the workers of a step are started.

    Args:
        jobs: one for each rank, rank 0 first; their descriptors are filled in.
        log: file that takes what they print; None hands our own streams down to a single worker, which then stays in
            our process group, so that it may read the terminal.
        inherited: descriptors that they keep open: the lock of the step.
        command: program and arguments; `--job-fd N` is added.
        watch: how standing still is noticed; None for a step without a heartbeat.
        leader: has other processes start the ranks that no job is here for; None where all are here.
    """

    jobs: Sequence[Job]
    log: Path | None
    inherited: tuple[int, ...] = ()
    command: tuple[str, ...] = WORKER
    watch: Watch | None = None
    leader: Leader | None = None


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
        LostWorkerError: SF631, a worker died; SF665, none moved any more.
        SpecforgeError: a worker failed, or was stopped.
    """
    with ExitStack() as opened:
        log = None if launch.log is None else opened.enter_context(durable.open_log(launch.log))
        begin = 0 if log is None else log.tell()
        team = Team(stop, launch.watch, launch.leader)
        opened.callback(team.close)
        for job in launch.jobs:
            team.members.append(start(job, launch.command, None if log is None else log.fileno(), launch.inherited))
        if launch.leader is not None:
            assert launch.log is not None
            team.members += launch.leader.enlist(launch.jobs[0], launch.log)
        team.listen(on_event)
        updates = team.updates
    world = launch.jobs[0].world
    if team.hang is not None and not stop.count:
        raise hung(team.hang, world, updates)
    failed = culprit(team.members)
    if failed is not None:
        raise failure(failed, team.members, world, launch.log, begin, updates, stop)
