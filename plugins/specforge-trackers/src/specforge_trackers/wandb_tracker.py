"""Weights & Biases: each figure is `EVENT/FIGURE` at its number of updates, the resolved spec is the run's config."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Protocol

import wandb

from specforge.trackers.tracker import Point, TrackedRun, Tracker
from specforge_trackers.config import WandbConfig
from specforge_trackers.memory import Memory


class _Run(Protocol):
    """What is used of a run of Weights & Biases."""

    def log(self, data: Mapping[str, float], step: int) -> None: ...

    def finish(self, exit_code: int) -> None: ...


class Wandb(Tracker):
    """A run at Weights & Biases.

    Args:
        config: as the spec has it.
    """

    def __init__(self, config: WandbConfig) -> None:
        self._config = config
        self._run: _Run | None = None

    def start(self, run: TrackedRun) -> None:
        """Begin a run, or go on with it; its files lie in the tracker's folder."""
        memory = Memory(run.folder, run.id)
        name = memory.recall() or uuid.uuid4().hex
        memory.keep(name)
        self._run = wandb.init(
            project=self._config.project,
            entity=self._config.entity,
            mode=self._config.mode,
            id=name,
            name=run.name,
            resume="allow",
            config=dict(run.spec),
            dir=str(run.folder),
            # the terminal is the run's, and so is the decision about what leaves this machine
            settings=wandb.Settings(silent=True, console="off", disable_code=True, disable_git=True),
        )

    def record(self, point: Point) -> None:
        """Log the figures at their number of updates."""
        assert self._run is not None
        figures = {f"{point.event}/{name}": value for name, value in point.figures.items()}
        self._run.log(figures, step=point.updates)

    def close(self, *, done: bool) -> None:
        """End the run, as one that failed unless training is done."""
        assert self._run is not None
        self._run.finish(exit_code=0 if done else 1)


def build(config: WandbConfig) -> Wandb:
    """Return the tracker that a spec asks for."""
    return Wandb(config)
