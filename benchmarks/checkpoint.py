"""How long training stands still for a save: in step, and in the background, by turns.

    python benchmarks/checkpoint.py [--quick]

A real training of random items on the processor, through the trainer, with `run.max_tokens` and an update as small as they
may be, so that a save is a large part of it. What a save costs is the time of so many updates with one save after the first of
them, less the time of as many without one: what the writing thread takes away from the updates beside it counts. The call alone
(`stall`) is what the loop waits for; `written` is when the state is on disk.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from hardware import write_result
from pydantic import JsonValue

from specforge.foundation.events import SilentReporter
from specforge.plugin import ModelContext, Symbols
from specforge.steps.parts import make_criterion, make_model, make_optimizer, make_task
from specforge.training.checkpoints import Checkpoints
from specforge.training.module import TrainingModule
from specforge.training.parallel.choice import chosen_strategy
from specforge.training.parallel.process import Parallel
from specforge.training.saving import Saving
from specforge.training.settings import Every
from specforge.training.state import Selection, TrainingState

_SPEC: Final = Path(__file__).parent.parent / "specs" / "multi30k_en_de.toml"
_MIB: Final = 2**20
_LENGTH: Final = 20
WAYS: Final[Mapping[str, Every]] = {"in step": Every(1, "update"), "in the background": Every(0, "minute")}
"""Way to save → the interval that makes `Saving` take it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A model to save.

    Args:
        table: of the model.
        symbols: of the vocabulary that both sides share.
        sentences: of an update.
    """

    table: JsonValue
    symbols: int
    sentences: int


def settings() -> dict[str, Setting]:
    """Return the model of the committed spec, and the base model of the Transformer paper with a small vocabulary."""
    spec = tomllib.loads(_SPEC.read_text())
    base: JsonValue = {"use": "transformer", "share_embeddings": "all"}
    return {
        "specs/multi30k_en_de.toml": Setting(spec["model"], 10_000, 64),
        "transformer, 6 + 6 layers of 512": Setting(base, 32_000, 16),
    }


class Training:
    """Updates of a model on one batch, with an optimizer that has its state.

    Args:
        setting: the model.
        work: folder for checkpoints.
    """

    def __init__(self, setting: Setting, work: Path) -> None:
        symbols = {role: Symbols(setting.symbols) for role in ("source", "target")}
        context = ModelContext(symbols, joined=True)
        task = make_task({"use": "translation", "source": "en", "target": "de"})
        torch.manual_seed(1)
        criterion = make_criterion({"use": "label_smoothed_cross_entropy", "label_smoothing": 0.1}, context)
        module = TrainingModule(task, make_model(setting.table, context), criterion).train()
        generator = np.random.default_rng(1)
        items = [
            {role: generator.integers(4, setting.symbols, _LENGTH) for role in ("source", "target")}
            for _ in range(setting.sentences)
        ]
        self._batch = task.collate(items)
        self._parallel = Parallel(torch.device("cpu"))
        self._strategy = chosen_strategy("ddp", module, self._parallel)
        self._optimizer = make_optimizer({"use": "adam", "lr": 1e-4}, self._strategy.trainable())
        self._work = work
        self._updates = 0
        self.parameters = sum(parameter.numel() for parameter in module.parameters())

    def update(self) -> None:
        """Do one update."""
        self._strategy.forget_gradients()
        self._strategy.step(self._batch).total.backward()
        self._optimizer.step()
        self._updates += 1

    def updates(self, count: int) -> float:
        """Return the seconds that some updates take."""
        began = time.perf_counter()
        for _ in range(count):
            self.update()
        return time.perf_counter() - began

    def saving(self, every: Every) -> Saving:
        """Return what saves in one of the ways."""
        selection = Selection("loss", higher_is_better=False, average_last=1)
        checkpoints = Checkpoints(self._work, selection, SilentReporter())
        checkpoints.prepare()
        none: Callable[[int], bool] = lambda _: False  # noqa: E731
        return Saving(
            self._strategy, self._optimizer, None, None, checkpoints, self._parallel, every, none, SilentReporter()
        )

    def saved(self, saving: Saving, count: int) -> tuple[float, float, float]:
        """Return the seconds of one save, until it is on disk, and of some updates after whose first one it begins."""
        began = time.perf_counter()
        self.update()
        before = time.perf_counter()
        saving.save(TrainingState(updates=self._updates), complete=True)
        stall = time.perf_counter() - before
        written = 0.0 if saving.is_writing else stall
        for _ in range(count - 1):
            self.update()
            if not written and not saving.is_writing:
                written = time.perf_counter() - before
        total = time.perf_counter() - began
        saving.wait()
        return stall, written or time.perf_counter() - before, total


def measured(setting: Setting, rounds: int) -> dict[str, JsonValue]:
    """Return the figures of a model: medians of all rounds."""
    work = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    try:
        training = Training(setting, work)
        training.updates(2)  # the optimizer makes its state
        count = max(round(_LEAST_SECONDS / (training.updates(3) / 3)), 4)
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
        without = []
        for turn in range(rounds + 1):
            plain = training.updates(count)
            for name, every in WAYS.items():
                with training.saving(every) as saving:
                    found = training.saved(saving, count)
                if turn:  # the first round warms up
                    figures[name].append(found)
            if turn:
                without.append(plain)
        size = sum(path.stat().st_size for path in max((work / "checkpoints").iterdir()).iterdir())
    finally:
        shutil.rmtree(work)
    seconds = statistics.median(without)
    ways: dict[str, JsonValue] = {}
    for name, triples in figures.items():
        stall, written, total = (statistics.median(triple[figure] for triple in triples) for figure in range(3))
        ways[name] = {
            "stall_seconds": round(stall, 4),
            "written_seconds": round(written, 4),
            "cost_seconds": round(total - seconds, 4),
        }
    return {
        "parameters": training.parameters,
        "checkpoint_mib": round(size / _MIB, 1),
        "updates": count,
        "seconds_without_a_save": round(seconds, 3),
        "rounds": rounds,
        **ways,
    }


_LEAST_SECONDS: Final = 4.0
"""So long the updates of a round take together, longer than a save."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the small model, to show that it works")
    arguments = parser.parse_args()
    chosen = dict(list(settings().items())[: 1 if arguments.quick else None])
    found: dict[str, JsonValue] = {}
    for name, setting in chosen.items():
        found[name] = measured(setting, 1 if arguments.quick else 7)
        print(name, found[name])
    if not arguments.quick:
        figures: dict[str, JsonValue] = {"threads": torch.get_num_threads(), "models": found}
        print(f"written to {write_result('checkpoint', figures)}")


if __name__ == "__main__":
    main()
