"""How long training will take, from what earlier trainings of this host did in a second.

Two things are looked at: checkpoints of the very training, which need no conversion, and finished trainings of any spec,
whose floating-point operations in a second are divided by those that are to come. Validation and saving are counted in
with both, so a spec that validates oftener than the earlier one takes longer than it says.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from pydantic import JsonValue

from specforge.planning.estimates import Estimates
from specforge.planning.plan import State, Step
from specforge.storage.store import Store

_LATEST: Final = 5  # trainings whose median counts: an old one may have met another machine under the same name


@dataclass(frozen=True, slots=True)
class _Pace:
    """What a training did: floating-point operations in a second, and when it ended."""

    flop_per_second: float
    at: str


def expected_seconds(found: Estimates, train: Step, store: Store) -> Estimates:
    """Return estimates with the updates that are done and the seconds that the others will take.

    Args:
        found: what the worker found.
        train: the train step.
        store: where earlier trainings are.
    """
    if train.state is State.REUSE:
        return found.model_copy(update={"updates_done": found.updates or 0, "seconds": 0.0})
    checkpoint = _checkpoint(train, found.updates, store) if train.state is State.RESUME else {}
    done = _number(checkpoint.get("updates"))
    found = found.model_copy(update={"updates_done": int(done)})
    if found.updates is None:
        return found
    per_update = _seconds_so_far(checkpoint, found, train) or _seconds_elsewhere(found, train, store)
    if per_update is None:
        return found
    seconds = max(found.updates - done, 0) * per_update
    return found.model_copy(update={"seconds": seconds, "approximate": [*found.approximate, "seconds"]})


def _checkpoint(train: Step, budget: int | None, store: Store) -> Mapping[str, JsonValue]:
    """Return the manifest of the newest checkpoint within a budget of updates; empty where there is none."""
    assert train.trajectory is not None
    most = float("inf") if budget is None else budget
    within = [facts for facts in store.checkpoints(train.trajectory) if _number(facts.get("updates")) <= most]
    return within[-1] if within else {}


def _seconds_so_far(checkpoint: Mapping[str, JsonValue], found: Estimates, train: Step) -> float | None:
    """Return the seconds that an update took up to a checkpoint, where it was trained as it will be."""
    updates, seconds = _number(checkpoint.get("updates")), _number(checkpoint.get("seconds"))
    alike = all(checkpoint.get(name) == value for name, value in _circumstances(train, found).items())
    return seconds / updates if alike and updates and seconds and _is_here(checkpoint) else None


def _seconds_elsewhere(found: Estimates, train: Step, store: Store) -> float | None:
    """Return the seconds that an update will take by what finished trainings did."""
    if found.flop_per_update is None:
        return None
    paces = sorted(_paces(train, found, store), key=lambda pace: pace.at)[-_LATEST:]
    return found.flop_per_update / median(pace.flop_per_second for pace in paces) if paces else None


def _paces(train: Step, found: Estimates, store: Store) -> Iterator[_Pace]:
    """Yield what finished trainings did on this host, on as many devices of that kind and with that precision."""
    table = train.settings["train"]
    assert isinstance(table, dict)
    alike = {**_circumstances(train, found), "precision": table["precision"]}
    for _, manifest in store.manifests("train"):
        made = manifest.get("made")
        if not isinstance(made, dict) or not _is_here(made) or "same_as" in manifest:
            continue
        pace = made.get("pace")
        if isinstance(pace, dict) and all(pace.get(name) == value for name, value in alike.items()):
            flop, seconds = _number(pace.get("flop")), _number(pace.get("seconds"))
            if flop and seconds:
                yield _Pace(flop / seconds, str(made.get("at")))


def _circumstances(train: Step, found: Estimates) -> dict[str, JsonValue]:
    run = train.settings["run"]
    assert isinstance(run, dict)
    return {"device": None if found.memory is None else found.memory.device, "devices": run["devices"]}


def _is_here(facts: Mapping[str, JsonValue]) -> bool:
    return facts.get("host") == socket.gethostname()


def _number(value: JsonValue) -> float:
    """Return a number that is above zero, and zero for all else that may stand in a file."""
    return value if isinstance(value, int | float) and value > 0 else 0.0
