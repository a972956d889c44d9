"""MLflow: each figure is a metric `EVENT/FIGURE` with its number of updates as step.

The values of the resolved spec are the run's parameters, by dotted path; the spec as TOML is its artifact `spec.toml`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from pydantic import JsonValue

from specforge.trackers.tracker import Point, TrackedRun, Tracker
from specforge_trackers.config import MlflowConfig
from specforge_trackers.memory import Memory

_PARAMETERS_AT_ONCE: Final = 100
"""A store takes no more of them in one call."""

_LONGEST: Final = 500
"""Characters that every kind of store takes as a parameter's value; the artifact has the rest."""

_MILLISECONDS: Final = 1_000


class Mlflow(Tracker):
    """A run in an MLflow store.

    Args:
        config: as the spec has it.
    """

    def __init__(self, config: MlflowConfig) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # the terminal is the run's
        self._config = config
        self._client = MlflowClient(tracking_uri=config.tracking_uri)
        self._run_id = ""

    def start(self, run: TrackedRun) -> None:
        """Begin a run, or go on with it."""
        memory = Memory(run.folder, run.id)
        known = memory.recall()
        if known is not None:
            self._run_id = known
            self._client.update_run(known, status="RUNNING")
            return
        self._run_id = str(self._client.create_run(self._experiment(), run_name=run.name).info.run_id)
        memory.keep(self._run_id)
        parameters = [Param(name, value[:_LONGEST]) for name, value in _flat(run.spec)]
        for first in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self._client.log_batch(self._run_id, params=parameters[first : first + _PARAMETERS_AT_ONCE])
        self._client.log_text(self._run_id, run.text, "spec.toml")

    def record(self, point: Point) -> None:
        """Log the figures at their number of updates."""
        at = round(point.time * _MILLISECONDS)
        metrics = [Metric(f"{point.event}/{name}", value, at, point.updates) for name, value in point.figures.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, *, done: bool) -> None:
        """End the run, as one that was stopped unless training is done."""
        self._client.set_terminated(self._run_id, "FINISHED" if done else "KILLED")

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._config.experiment)
        return str(self._client.create_experiment(self._config.experiment) if found is None else found.experiment_id)


def _flat(table: Mapping[str, JsonValue], around: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted path and value of all that a spec says."""
    for name, value in table.items():
        elements = dict(enumerate(value)) if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(elements, dict):
            yield from _flat({str(key): inner for key, inner in elements.items()}, f"{around}{name}.")
        elif value is not None:
            yield f"{around}{name}", str(value)


def build(config: MlflowConfig) -> Mlflow:
    """Return the tracker that a spec asks for."""
    return Mlflow(config)
