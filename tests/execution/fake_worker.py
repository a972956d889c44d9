"""A worker without an engine: does what the environment says, so that the runner can be tested in milliseconds.

`FAKE_<KIND>` names a behaviour of the steps of that kind; without it the worker writes what its step has to write. Train
counts updates in the checkpoints of its working folder. It imports next to nothing: tests start hundreds of these.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from specforge.foundation.errors import (
    SpecforgeError,
    StepFailedError,
    StoppedRunError,
    WrongInputError,
    from_os_error,
)
from specforge.foundation.events import ErrorEvent, Event, MessageEvent, ProgressEvent, RecordEvent, encode_event

UPDATES: Final = 6
OUTPUTS: Final = {
    "tokenizer": ["pieces.model"],
    "preprocess": ["corpus.json"],
    "train": ["best/model.safetensors", "last/model.safetensors", "average/model.safetensors"],
    "generate": ["hypotheses.txt"],
    "score": ["scores.json"],
    "estimate": [],
}


class Fake:
    """One worker.

    Args:
        job: the job as JSON.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self.kind: str = job["kind"]
        self.pipe = os.fdopen(job["events"], "wb", buffering=0)

    def say(self, event: Event) -> None:
        self.pipe.write(encode_event(event).encode() + b"\n")

    def fail(self, error: SpecforgeError) -> None:
        self.say(ErrorEvent(error.record()))
        sys.exit(error.exit_code)

    def behave(self, behaviour: str) -> None:
        word, _, value = behaviour.partition(":")
        method: Callable[[str], None] = getattr(self, f"be_{word}")
        method(value)

    def be_well(self, _: str = "") -> None:
        """Do what the step has to do."""
        if self.job["rank"] > 0:
            return
        if self.kind == "train":
            self.train()
        if self.kind == "estimate":
            counted = {"parameters": 12_345, "trainable": 12_345, "by_part": {"all": 12_345}}
            self.say(RecordEvent("estimates", {"json": json.dumps(counted)}))
        self.report_and_write()

    def be_wrong(self, _: str) -> None:
        self.fail(WrongInputError("SF504", "nothing is left"))

    def be_frank(self, variable: str) -> None:
        """Say what a variable of the environment is."""
        self.say(MessageEvent("info", os.environ.get(variable, "unset")))
        self.be_well()

    def be_picky(self, text: str) -> None:
        """Fail where the settings hold a text."""
        if text in json.dumps(self.job["settings"]):
            self.fail(StepFailedError("SF633", "not finite"))
        self.be_well()

    def be_unexpected(self, _: str) -> None:
        self.fail(StepFailedError("SF632", "unexpected ValueError: no"))

    def be_startled(self, seconds: str) -> None:
        """Meet something unexpected after a while."""
        time.sleep(float(seconds))
        self.fail(StepFailedError("SF632", "unexpected RuntimeError: connection closed by peer"))

    def be_killed(self, number: str) -> None:
        os.kill(os.getpid(), int(number))

    def be_silent(self, code: str) -> None:
        """End without an event."""
        sys.stderr.write("the last words\n\x1b[31mof a worker\n")
        sys.exit(int(code))

    def be_stopped(self, seconds: str) -> None:
        """Wait for SIGTERM, and take a while to save the state."""

        def stop(*_: object) -> None:
            time.sleep(float(seconds))
            self.fail(StoppedRunError("SF643", "stopped after update 3, state saved"))

        signal.signal(signal.SIGTERM, stop)
        self.say(MessageEvent("info", f"ready {os.getpid()}"))
        time.sleep(60)

    def be_stopped_after(self, updates: str) -> None:
        """Train for some updates and fail."""
        self.train(int(updates))
        self.fail(StepFailedError("SF633", "not finite"))

    def be_patient(self, path: str) -> None:
        """Train, and end once a file is there."""
        self.train()
        while not Path(path).exists():
            time.sleep(0.01)
        self.report_and_write()

    def be_deaf(self, _: str) -> None:
        """Ignore SIGTERM."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.say(MessageEvent("info", f"ready {os.getpid()}"))
        time.sleep(60)

    def be_parent(self, _: str) -> None:
        """Leave a child behind."""
        if os.fork() == 0:
            time.sleep(60)
        self.be_well()

    def be_beating(self, text: str) -> None:
        """Beat so many times, the last time for an update, and then stand still: `3` or `3:stop`."""
        count, _, how = text.partition(":")
        faulthandler.register(signal.SIGUSR1, file=self.job["stacks"])
        os.write(self.job["beats"], b"." * (int(count) - 1) + b"u")
        if how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60)

    def be_mortal(self, deaths: str) -> None:
        """Train for one more update and die, in so many attempts."""
        if self.job["attempt"] < int(deaths):
            (Path(self.job["output"]) / "rest").mkdir()
            self.train(self.job["attempt"] + 1)
            os.kill(os.getpid(), signal.SIGKILL)
        self.be_well()

    def be_lazy(self, _: str) -> None:
        """End well without having written anything."""

    def be_strange(self, _: str) -> None:
        """Write lines that are no events."""
        self.pipe.write(b'{\n\xff\n"text"\n{"event": "progress"}\n')
        self.be_well()

    def be_author(self, path: str) -> None:
        """Change a file while the step runs."""
        Path(path).write_text("changed\n")
        self.be_well()

    def be_full(self, _: str) -> None:
        """Meet a full disk."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        try:
            (Path(self.job["output"]) / "large").write_bytes(b"x" * 10_000)
        except OSError as error:
            self.fail(from_os_error(error))

    def report_and_write(self) -> None:
        self.say(RecordEvent("figures", {"figure": 1.5, "infinite": float("inf")}))
        self.say(MessageEvent("warning", "odd\x1b[2J"))
        # what is written depends on what is read, as in a real step
        salt = os.environ.get("FAKE_SALT", "") if self.kind == "train" else ""
        needs = [_contents(Path(folder)) for folder in self.job["needs"].values()]
        content = hashlib.sha256(repr([self.kind, self.job["settings"]["seed"], salt, needs]).encode()).hexdigest()
        for name in OUTPUTS[self.kind]:
            path = Path(self.job["output"]) / name
            path.parent.mkdir(exist_ok=True)
            score = {"name": "bleu", "value": 50, "signature": content[:8]}
            written = {"scores.json": json.dumps({"scores": [score], "sentences": 1})}
            path.write_text(written.get(name, content) + "\n")

    def train(self, most: int = UPDATES) -> None:
        checkpoints = Path(self.job["work"]) / "checkpoints"
        done = max((int(path.name) for path in checkpoints.glob("[0-9]*")), default=0)
        for update in range(done + 1, most + 1):
            self.say(RecordEvent("train", {"updates": update, "loss": 1.0 / update}))
            self.say(ProgressEvent(update, UPDATES, "updates", {"loss": 1.0 / update}))
            checkpoint = checkpoints / str(update)
            checkpoint.mkdir(parents=True)
            (checkpoint / "manifest.json").write_text(json.dumps({"updates": update, "epoch": 1}))
            time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        self.say(RecordEvent("pace", {"device": "cpu", "seconds": 2.5}))


def _contents(folder: Path) -> list[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return [path.read_text() for path in files]


def main() -> None:
    with os.fdopen(int(sys.argv[sys.argv.index("--job-fd") + 1]), "rb") as file:
        job = json.load(file)
    if "FAKE_LOG" in os.environ:
        with Path(os.environ["FAKE_LOG"]).open("a") as log:
            log.write(json.dumps(job) + "\n")
    Fake(job).behave(os.environ.get(f"FAKE_{job['kind'].upper()}", "well"))


if __name__ == "__main__":
    main()
