"""`sweep.json` in the folder of a sweep's name: all points with their values, and what came of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge.foundation import durable
from specforge.foundation.errors import RefusedError, SpecforgeError
from specforge.foundation.terminal import printable
from specforge.language.spec import Point
from specforge.language.sweeps.names import typed_name
from specforge.storage.store import Store

SWEEP_FILE: Final = "sweep.json"
SWEEP_FORMAT: Final = 1

_HOLDERS: Final = ("plan.json", SWEEP_FILE)

PointState: TypeAlias = Literal["waiting", "done", "failed"]


@dataclass(slots=True)
class PointOutcome:
    """What came of a point.

    Args:
        point: the point.
        state: `waiting` before it has run.
        error: what it failed with.
        failed_with: number of an earlier point where a step failed that this one shares.
        scores: test → its scores.
    """

    point: Point
    state: PointState = "waiting"
    error: SpecforgeError | None = None
    failed_with: int | None = None
    scores: Mapping[str, Sequence[Mapping[str, JsonValue]]] = field(default_factory=dict)


class SweepFolder:
    """The folder of a sweep.

    Args:
        store: the store that it lies in.
        name: the name of the spec.
        spec: the spec file, absolute.
    """

    def __init__(self, store: Store, name: str, spec: Path) -> None:
        self.path = store.run_folder(name) / SWEEP_FILE
        self._name = name
        self._spec = spec

    def claim(self) -> None:
        """Make sure that the name is ours.

        Raises:
            RefusedError: SF622, it is held by another spec that is still there.
        """
        for name in _HOLDERS:
            holder = _spec_of(self.path.with_name(name))
            if holder is not None and holder != self._spec and holder.is_file():
                raise RefusedError(
                    "SF622",
                    f"the run name `{self._name}` is held by {printable(str(holder))}",
                    help=f'give this spec a name of its own (`name = "{self._name}-2"`), or use another store',
                )

    def write(self, outcomes: Sequence[PointOutcome]) -> None:
        """Write what has come of the points so far."""
        points: list[JsonValue] = [_json(outcome) for outcome in outcomes]
        document: JsonValue = {
            "format": SWEEP_FORMAT,
            "name": self._name,
            "spec": str(self._spec),
            "points": points,
        }
        durable.make_folder(self.path.parent)
        durable.replace_file(self.path, durable.json_text(document))


def _spec_of(path: Path) -> Path | None:
    """Return the spec that a file of a run folder was made for, or None where there is no such file."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    spec = document.get("spec") if isinstance(document, dict) else None
    return Path(spec) if isinstance(spec, str) else None


def _json(outcome: PointOutcome) -> JsonValue:
    error = outcome.error
    scores: dict[str, JsonValue] = {test: [dict(score) for score in found] for test, found in outcome.scores.items()}
    return {
        "number": outcome.point.number,
        "name": outcome.point.name,
        "values": {typed_name(path): value for path, value in outcome.point.values.items()},
        "state": outcome.state,
        "error": None if error is None else {"code": error.code, "message": error.message},
        "scores": scores,
    }
