"""The runner: goes through a plan, reuses what is there, and has the rest made by worker processes.

A step is made under its lock in a private folder, and published only when its workers ended well, wrote what they had to,
and the data files are still those that the plan was made for. Whatever happens before that leaves nothing behind but
checkpoints and logs.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge import __version__
from specforge.execution.jobs import OUTPUTS, step_jobs
from specforge.execution.logs import FORCED, StepLog
from specforge.execution.processes.team import Watch
from specforge.execution.progress import Display, duration
from specforge.execution.restarts import run_with_restarts
from specforge.execution.run_folder import RunFolder
from specforge.execution.signals import StopRequest
from specforge.execution.tracking.tracking import Tracking, tracked
from specforge.execution.workers import WORKER, Launch, run_workers
from specforge.execution.worlds.leader import Leader
from specforge.foundation import durable
from specforge.foundation.errors import (
    Place,
    RefusedError,
    SpecforgeError,
    StepFailedError,
    WrongInputError,
    from_os_error,
    noted,
)
from specforge.foundation.events import PACE, Event, MessageEvent, ProgressEvent, RecordEvent
from specforge.foundation.terminal import printable
from specforge.language.spec import Spec
from specforge.planning.keys import outputs_digest
from specforge.planning.material import size_on_disk
from specforge.planning.plan import Plan, State, Step
from specforge.planning.plan_file import plan_document
from specforge.planning.states import Found, find_result, origin_digest, reuse_reason
from specforge.planning.world import Files
from specforge.storage import locks
from specforge.storage.store import Store

RESULT_FORMAT: Final = 1
"""Version of what a result's manifest says about it."""

How: TypeAlias = Literal["reuse", "run"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a plan is run.

    Args:
        force: ids of the steps that are made anew although their results are there.
        wait: whether to wait for a step that another run is making, or to refuse.
        command: the worker's program and arguments.
        leader: the processes that a launcher started for training; None where we start them.
    """

    force: frozenset[str] = frozenset()
    wait: bool = True
    command: tuple[str, ...] = WORKER
    leader: Leader | None = None


class Runner:
    """Runs a plan. `done` tells of each step that has a result by now whether it was reused or made.

    Args:
        spec: the spec that the plan was made from.
        plan: the plan; steps that are not wanted are left out of `run`.
        store: where results go.
        files: the data files, to see whether they changed while a step ran.
        display: where progress is shown.
        stop: requests to stop.
        options: how to run.
    """

    def __init__(
        self, spec: Spec, plan: Plan, store: Store, files: Files, display: Display, stop: StopRequest, options: Options
    ) -> None:
        self._spec = spec
        self._plan = plan
        self._store = store
        self._files = files
        self._display = display
        self._stop = stop
        self._options = options
        self.folder = RunFolder(store, plan.name)
        self.done: dict[str, How] = {}
        self._outputs: dict[str, str | None] = {}
        self._width = max(len(step.id) for step in plan.steps)

    def run(self, steps: tuple[Step, ...]) -> dict[str, How]:
        """Make the results of some steps of the plan be there.

        Args:
            steps: those to go through, in order; each after its needs.

        Returns:
            Id of each step → whether its result was reused or made.

        Raises:
            SpecforgeError: whatever kept a step from having a result.
        """
        self._store.create()
        self._store.sweep()
        self.folder.claim(self._plan, plan_document(self._spec, self._plan, self._store.root))
        for step in steps:
            self._stop.check()
            self.done[step.id] = self._settle(step)
            manifest = self._store.manifest(step.kind, step.key)
            assert manifest is not None
            self._outputs[step.id] = outputs_digest(manifest)
            if self.done[step.id] == "reuse":
                with (
                    closing(StepLog(self.folder.log(step, ".jsonl"), self._display.line)) as log,
                    self._tracked(step, log),
                ):
                    pass  # trackers that are new are told what the log holds
            self.folder.link(step)
        return self.done

    def _settle(self, step: Step) -> How:
        """Reuse a step's result or make it."""
        found = self._find(step)
        if found is None or found.key != step.key:
            lock = f"{step.kind}-{step.trajectory or step.key}"
            with locks.hold(
                self._store.lock(lock),
                f"{step.kind} {step.key[:8]}",
                wait=self._options.wait,
                announce=self._display.line,
                pause=self._stop.pause,
            ) as held:
                found = self._find(step)  # whom we waited for may have made it
                if found is None or found.key != step.key:
                    self._fill(step, found, lock, held)
        if found is None:
            return "run"
        self._say(step, "reuse", reuse_reason(step, found))
        if step.trajectory is not None and self._spec.run.profile is not None:
            self._display.line(f"  {step.id}: nothing was profiled; `--force {step.id}` makes it anew")
        return "reuse"

    def _find(self, step: Step) -> Found | None:
        return None if step.id in self._options.force else find_result(step, self._outputs, self._store)

    def _fill(self, step: Step, found: Found | None, lock: str, held: int) -> None:
        """Give a step's key its result: an equal one's files, or what its workers make."""
        scratch = self._store.scratch(lock)
        try:
            output = durable.make_folder(scratch / "result")
            if found is None:
                self._make(step, scratch, output, held)
            else:
                durable.link_files(self._store.result(step.kind, found.key), output)
                self._publish(step, scratch, output, {"made": found.manifest.get("made"), "same_as": found.key})
        finally:
            durable.remove_folder(scratch)

    def _make(self, step: Step, scratch: Path, output: Path, held: int) -> None:
        reason = self._reason(step)
        self._say(step, "run", reason)
        log = StepLog(self.folder.log(step, ".jsonl"), self._display.line)
        trained = {} if step.trajectory is None else {"trajectory": step.trajectory}
        log.write("start", {"key": step.key, **trained, "reason": reason})
        begun = time.monotonic()
        try:
            with self._tracked(step, log) as tracking:
                pace = self._work(step, scratch, output, held, log, tracking)
                seconds = round(time.monotonic() - begun, 3)
            made: JsonValue = {
                "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "run": self._plan.name,
                "host": socket.gethostname(),
                "seconds": seconds,
                "specforge": __version__,
                **({"pace": pace} if pace else {}),
            }
            self._publish(step, scratch, output, {"made": made})
        except (SpecforgeError, OSError) as caught:
            error = from_os_error(caught) if isinstance(caught, OSError) else caught
            log.write("failed", {"code": error.code, "message": error.message})
            raise noted(error, f"in step `{step.id}`") from caught
        else:
            log.write("done", {"seconds": seconds})
        finally:
            self._display.end(step.id)
            log.close()
        self._say(step, "done", f"in {duration(seconds)}")

    def _reason(self, step: Step) -> str:
        """Say why a step runs: as the plan says, unless the plan meant to reuse what does not do now."""
        if step.id in self._options.force:
            return FORCED
        if step.state is not State.REUSE:
            return step.reason
        is_there = self._store.manifest(step.kind, step.key) is not None
        return f"{' and '.join(step.needs)} came out otherwise" if is_there else "its result is gone"

    def _tracked(self, step: Step, log: StepLog) -> AbstractContextManager[Tracking]:
        def warn(text: str) -> None:
            self._tell(step, MessageEvent("warning", text), log)

        return tracked(self._spec, step, self.folder.log(step, ".jsonl"), self._plan.name, warn, self._stop)

    def _tell(self, step: Step, event: MessageEvent, log: StepLog) -> None:
        level = "" if event.level == "info" else f"{event.level}: "
        self._display.line(f"  {step.id}: {level}{printable(event.text, longest=1_000)}")
        log.write("message", {"level": event.level, "text": event.text})

    def _work(
        self, step: Step, scratch: Path, output: Path, held: int, log: StepLog, tracking: Tracking
    ) -> dict[str, JsonValue]:
        """Have the workers do the step, check what they leave, and return how fast a training says that it was."""
        pace: dict[str, JsonValue] = {}

        def on_event(event: Event) -> None:
            match event:
                case ProgressEvent():
                    self._display.progress(step.id, event)
                case RecordEvent():
                    log.write(event.name, event.values)
                    tracking.record(event)
                    pace.update(event.values if event.name == PACE else {})
                case MessageEvent():
                    self._tell(step, event, log)

        self._check_inputs(step, "after the plan was made")
        self._attempt(step, scratch, output, held, on_event)
        missing = next((name for name in OUTPUTS[step.kind] if not (output / name).is_file()), None)
        if missing is not None:
            raise StepFailedError("SF634", f"the worker ended well and did not write `{missing}`")
        self._check_inputs(step, "while the step ran; its result is discarded")
        return pace

    def _attempt(self, step: Step, scratch: Path, output: Path, held: int, on_event: Callable[[Event], None]) -> None:
        """Run the workers of a step; a training as often as its restarts allow."""
        printed = self.folder.log(step, ".stderr")
        work = self._work_folder(step, scratch)
        run = self._spec.run
        training = step.trajectory is not None
        traces = self.folder.path / "logs" if training and run.profile is not None else None
        leader = self._options.leader if training else None
        watch = Watch(run.hang_timeout, self.folder.log(step, ".stacks")) if training else None

        def attempt(number: int) -> None:
            if number:  # the attempt before may have begun to fill it
                durable.remove_folder(output)
                durable.make_folder(output)
            given = leader.world if leader else None
            jobs = step_jobs(self._spec, step, self._needs(step), scratch, work, output, number, given, traces)
            if leader is not None:
                leader.gather(self._stop, lambda text: on_event(MessageEvent("info", text)))
            run_workers(Launch(jobs, printed, (held,), self._options.command, watch, leader), on_event, self._stop)

        def announce(text: str) -> None:
            on_event(MessageEvent("warning", text))

        try:
            if training:
                run_with_restarts(attempt, run.max_restarts, lambda: self._saved(step), self._stop, announce)
            else:
                attempt(0)
        finally:
            if printed.exists() and printed.stat().st_size == 0:
                durable.remove_file(printed)

    def _saved(self, step: Step) -> int:
        """Return how many updates the newest checkpoint of a training holds."""
        assert step.trajectory is not None
        return max((int(str(found["updates"])) for found in self._store.checkpoints(step.trajectory)), default=0)

    def _needs(self, step: Step) -> dict[str, Path]:
        needed = [self._plan.step(identifier) for identifier in step.needs]
        return {need.kind: self._store.result(need.kind, need.key) for need in needed}

    def _work_folder(self, step: Step, scratch: Path) -> Path | None:
        if step.trajectory is None:
            return None
        folder = self._store.work(step.trajectory)
        if step.id in self._options.force and folder.exists():
            durable.move_folder(folder, scratch / "former-work")
        return durable.make_folder(folder)

    def _check_inputs(self, step: Step, when: str) -> None:
        """Refuse to go on when a result would be made from other data than its key says."""
        for file in step.inputs:
            try:
                digest = self._files.inspect(file.path).digest
            except WrongInputError:
                digest = ""
            if digest != file.digest:
                raise RefusedError(
                    "SF623",
                    f"this file changed {when}",
                    place=Place(str(file.path)),
                    help="run the same command again once nobody writes the file",
                )

    def _publish(self, step: Step, scratch: Path, output: Path, facts: Mapping[str, JsonValue]) -> None:
        final = self._store.result(step.kind, step.key)
        if (final / durable.MANIFEST).exists():  # forced, or made from other outputs of the steps above
            durable.move_folder(final, scratch / "former")
        elif final.exists():  # not ours: we write the manifest before the name
            durable.quarantine(final)
        inputs: JsonValue = [
            {
                "role": file.role,
                "digest": file.digest,
                "lines": file.lines,
                "size": size_on_disk(file.path),
                "path": str(file.path),
            }
            for file in step.inputs
        ]
        durable.publish(
            output,
            final,
            {
                "format": RESULT_FORMAT,
                "kind": step.kind,
                "key": step.key,
                "made_from": origin_digest(step, self._outputs),
                "components": dict(step.components),
                "config": dict(step.config),
                "inputs": inputs,
                "needs": {identifier: self._plan.step(identifier).key for identifier in step.needs},
                **facts,
            },
        )

    def _say(self, step: Step, word: str, reason: str) -> None:
        self._display.line(f"  {step.id:<{self._width}}   {word:<6}   {step.key[:8]}   {reason}")
