"""All faults at their full number; writes n of n, and ends with 1 where it is not n of n.

    benchmarks/nightly.sh [--real 200] [--forked 1000] [--images 100000] [--seed N] [--output FILE]

The machinery is that of `tests/faults`, which CI runs in small numbers with fixed seeds. Here seeds are new every time; a
seed that fails is printed, and `--seed` repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import kills
import saves
from digits import specforge
from forked import ended, started
from hardware import RESULTS, surroundings
from mutants import caught, mutants
from operations import FAULTS
from pydantic import JsonValue

_TRAINED_ON_EVERY: Final = 50
"""One image in so many is trained on to the end."""


@dataclass
class Count:
    """How many trials there were, and what went wrong in which."""

    trials: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, wrong: str | None) -> None:
        """Count a trial."""
        self.trials += 1
        if wrong is not None:
            self.failures.append(wrong)
            print(f"  FAILED: {wrong}", flush=True)

    def figures(self) -> JsonValue:
        """Return them for the result file."""
        failures: list[JsonValue] = [*self.failures[:20]]
        return {"survived": self.trials - len(self.failures), "of": self.trials, "failures": failures}


def main() -> int:
    """Run everything and return the exit code."""
    parser = argparse.ArgumentParser(description="Every fault at its full number.")
    parser.add_argument("--real", type=int, default=200, help="commands killed with their worker processes")
    parser.add_argument("--forked", type=int, default=1_000, help="runs killed in one forked process each")
    parser.add_argument("--images", type=int, default=100_000, help="images of a disk after a power loss")
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock")
    parser.add_argument("--output", type=Path, default=RESULTS / "nightly.json")
    options = parser.parse_args()
    seed = time.time_ns() % 10**9 if options.seed is None else options.seed
    parts: dict[str, Callable[[Path], Iterator[str | None]]] = {
        "commands killed": lambda folder: _commands(folder, options.real, seed),
        "forked runs killed": lambda folder: _forked(folder, options.forked, seed),
        "operations of a save failed": _operations,
        "power losses": lambda folder: _power_losses(folder, options.images, seed),
        "safeguards taken out and noticed": lambda _: _safeguards(),
    }
    figures: dict[str, JsonValue] = {"seed": seed}
    whole = True
    for name, part in parts.items():
        count, began = Count(), time.monotonic()
        with tempfile.TemporaryDirectory(prefix="specforge-nightly-") as folder:
            for wrong in part(Path(folder)):
                count.add(wrong)
        seconds = round(time.monotonic() - began)
        print(f"{name}: {count.trials - len(count.failures)} of {count.trials} in {seconds} s", flush=True)
        figures[name] = count.figures()
        whole = whole and not count.failures and count.trials > 0
    text = json.dumps({**surroundings(), **figures}, indent=2, ensure_ascii=False)
    options.output.write_text(f"{text}\n", encoding="utf-8")
    return 0 if whole else 1


def _commands(folder: Path, runs: int, seed: int) -> Iterator[str | None]:
    """Kill the command and its workers by the clock, as often as not in the middle of saving, and run it again."""
    experiment = kills.prepared_experiment(folder)
    seconds = _seconds_of(folder, folder / "timed-command")
    for number in range(runs):
        choices = random.Random(seed + number)  # noqa: S311  # keeps no secret
        store = folder / f"store-{number}"
        killed = 0
        for _ in range(choices.choice([1, 1, 2])):
            killed += _killed(folder, store, choices.uniform(0.2, seconds))
        again = specforge("run", "kill.toml", "--store", store, cwd=folder)
        survival = kills.Survival(
            killed,
            kills.updates_done(store),
            again.returncode == 0 and kills.published(store) == experiment.weights,
            (),
        )
        yield None if survival.equal and survival.resumed else f"seed {seed + number}: {survival}"


def _seconds_of(folder: Path, store: Path) -> float:
    began = time.monotonic()
    result = specforge("run", "kill.toml", "--store", store, cwd=folder)
    assert result.returncode == 0, result.stderr
    return time.monotonic() - began


def _killed(folder: Path, store: Path, seconds: float) -> int:
    """Kill a run after some seconds; the workers die with it. Return how many were killed, 0 or 1."""
    run = subprocess.Popen(
        [sys.executable, "-m", "specforge", "run", "kill.toml", "--store", str(store)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
    return int(run.wait() == -signal.SIGKILL)


def _forked(folder: Path, runs: int, seed: int) -> Iterator[str | None]:
    experiment = kills.prepared_experiment(folder)
    for number in range(runs):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            survival = kills.survive(experiment, Path(place), seed + number)
        yield None if survival.equal and survival.resumed else f"seed {seed + number}: {survival}"


def _operations(folder: Path) -> Iterator[str | None]:
    saves.halfway(folder / "half")
    undisturbed = saves.trained(folder / "undisturbed")
    for fault in FAULTS:
        place = folder / fault.replace(" ", "-")
        place.mkdir()
        for operation, weakness in saves.sweep(folder / "half", undisturbed, place, fault):
            yield weakness and f"{fault} at {operation}: {weakness}"


def _power_losses(folder: Path, images: int, seed: int) -> Iterator[str | None]:
    choices = random.Random(seed)  # noqa: S311  # keeps no secret
    disk = saves.recorded(folder / "work")
    undisturbed = saves.trained(folder / "undisturbed")
    (folder / "images").mkdir()
    yield from saves.power_losses(disk, folder / "images", choices, images // len(disk.moments) + 1)
    for _ in range(images // _TRAINED_ON_EVERY):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            yield saves.trained_on(disk, undisturbed, Path(place), choices)


def _safeguards() -> Iterator[str | None]:
    for missing, text in mutants():
        yield None if ended(started(caught, text)) == 1 else f"nobody misses {missing}"


if __name__ == "__main__":
    sys.exit(main())
