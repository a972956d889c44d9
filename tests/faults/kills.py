"""`specforge run`, killed at random again and again, until a run comes to its end: what was it worth?

The whole command runs in one process that is forked with everything imported, so that a kill costs a fraction of a second:
what a worker would do is done in place. (`tests/acceptance/test_kill.py` and `benchmarks/nightly.py --real` kill
commands with worker processes of their own.)
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest import mock

from digits import copy, specforge, write_split
from forked import ended, started
from operations import Operation, Strike, Watcher, watched

BUDGET: Final = 65
INTERVAL: Final = 10

SPEC: Final = f"""
specforge = 1
allow = ["SF411"]
task = {{ use = "translation", source = "src", target = "tgt" }}
data = {{ train = "train", valid = "valid" }}
tokenizer = "whitespace"
preprocess = {{ joined_dictionary = true }}
optimizer = {{ use = "adam", lr = 1e-3 }}
lr_scheduler = {{ use = "inverse_sqrt", warmup_updates = 20 }}

[model]
use = "transformer"
dropout = 0.2
share_embeddings = "all"
encoder_layers = 1
decoder_layers = 1
embed_dim = 16
ffn_dim = 32
attention_heads = 2

[train]
max_updates = {BUDGET}
batch_tokens = 100
validate_every = "15 updates"
average_last = 2
checkpoint_every = "{INTERVAL} updates"

[run]
log_every = 1
"""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is run and killed.

    Args:
        folder: the spec `kill.toml` and its data.
        prepared: a store with the steps before training.
        weights: digests of the weights that an undisturbed run publishes.
        operations: on the disk, by that run.
        seconds: that it took.
    """

    folder: Path
    prepared: Path
    weights: dict[str, str]
    operations: int
    seconds: float


def prepared_experiment(folder: Path) -> Experiment:
    """Write the experiment, make what comes before training, and run it once without a fault."""
    write_split(folder, "train", 600, 5, copy, 1)
    write_split(folder, "valid", 20, 0, copy, 2)
    (folder / "kill.toml").write_text(SPEC)
    prepared, calm = folder / "prepared", folder / "calm"
    result = specforge("run", "kill.toml", "--store", prepared, "--until", "preprocess", cwd=folder)
    assert result.returncode == 0, result.stderr
    shutil.copytree(prepared, calm, symlinks=True)
    counted = folder / "operations"
    assert ended(started(counted_command, folder, calm, counted)) == 0
    shutil.copytree(prepared, folder / "timed", symlinks=True)
    began = time.monotonic()
    assert ended(started(command, folder, folder / "timed", None)) == 0
    seconds = time.monotonic() - began
    return Experiment(folder, prepared, published(calm), int(counted.read_text()), seconds)


def command(folder: Path, store: Path, strike: Strike | None) -> None:
    """Run `specforge run kill.toml` in this process, with a fault or without; ends it with the command's exit code."""
    from specforge.cli.main import main

    os.chdir(folder)
    with mock.patch("specforge.execution.runner.run_workers", _in_place):
        arguments = ["run", "kill.toml", "--store", str(store), "--until", "train"]
        if strike is None:
            sys.exit(main(arguments))
        with watched(store, strike):
            sys.exit(main(arguments))


def counted_command(folder: Path, store: Path, counted: Path) -> None:
    """Run the command and write down how many operations there were."""
    counter = _Counter()
    try:
        with watched(store, counter):
            command(folder, store, None)
    finally:
        counted.write_text(str(counter.count))


class _Counter(Watcher):
    count = 0

    def after(self, operation: Operation) -> None:
        self.count = max(self.count, operation.number)


def _in_place(launch: object, on_event: Callable[[object], None], stop: object) -> None:
    """Do what the one worker of a step would do."""
    del stop
    from specforge.execution.workers import Launch
    from specforge.foundation import durable
    from specforge.foundation.events import MessageEvent, ProgressEvent, RecordEvent, Scalar

    class _Reporter:
        def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
            on_event(ProgressEvent(done, total, unit, values))

        def record(self, name: str, **values: Scalar) -> None:
            on_event(RecordEvent(name, values))

        def message(self, text: str) -> None:
            on_event(MessageEvent("info", text))

        def warning(self, text: str) -> None:
            on_event(MessageEvent("warning", text))

    assert isinstance(launch, Launch)
    assert launch.log is not None
    durable.open_log(launch.log).close()
    (job,) = launch.jobs
    importlib.import_module(f"specforge.steps.{job.kind}").run(job, _Reporter())


@dataclass(frozen=True, slots=True)
class Survival:
    """What a run came to that was killed on its way.

    Args:
        kills: how often it was killed.
        updates: done over all attempts, as far as the log tells.
        equal: whether it published the weights of an undisturbed run, bit for bit.
        where: what was going on at each kill.
    """

    kills: int
    updates: int
    equal: bool
    where: tuple[str, ...]

    @property
    def resumed(self) -> bool:
        """Whether no kill cost more than an interval; a kill may keep the record of one update from the log."""
        return BUDGET - self.kills <= self.updates <= BUDGET + self.kills * INTERVAL


def survive(experiment: Experiment, folder: Path, seed: int) -> Survival:
    """Kill a run one to three times at random, by the clock or at an operation on the disk, and let it come to its end."""
    choices = random.Random(seed)
    where: list[str] = []
    attempts = 0
    while not where:  # a run may come to its end before the clock does
        attempts += 1
        store = folder / f"store-{attempts}"
        shutil.copytree(experiment.prepared, store, symlinks=True)
        for number in range(choices.choice([1, 1, 1, 2, 3])):
            fired = _killed(experiment, store, folder / f"fired-{attempts}-{number}", choices)
            if fired is None:
                break
            where.append(fired)
    code = ended(started(command, experiment.folder, store, None))
    return Survival(len(where), updates_done(store), code == 0 and published(store) == experiment.weights, tuple(where))


def _killed(experiment: Experiment, store: Path, marker: Path, choices: random.Random) -> str | None:
    """Start a run, kill it, and say what it was doing; None when it was too quick."""
    if choices.random() < 0.5:
        fault = choices.choice(["kill before", "kill after"])
        strike = Strike(choices.randint(1, experiment.operations), fault, marker)  # type: ignore[arg-type]
        code = ended(started(command, experiment.folder, store, strike))
        assert (code == -9) == marker.exists()
        return marker.read_text() if code == -9 else None
    process = started(command, experiment.folder, store, None)
    process.join(choices.uniform(0.0, experiment.seconds))
    process.kill()
    return "by the clock" if ended(process) == -9 else None


def published(store: Path) -> dict[str, str]:
    """Return the SHA-256 of each published set of weights, by the folder's name."""
    (result,) = (store / "objects" / "train").iterdir()
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in result.glob("*/model.safetensors")
    }


def updates_done(store: Path) -> int:
    """Return the updates over all attempts: every update leaves one record, and attempts append to the same log."""
    text = (store / "runs" / "kill" / "logs" / "train.jsonl").read_text()
    return sum(json.loads(line)["event"] == "train" for line in text.split("\n") if line)
