"""What has come of a plan: the scores of its tests, and how its training went."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from specforge.execution.run_folder import RunFolder
from specforge.foundation.errors import CorruptStateError, Place
from specforge.planning.comparison.curves import Curve, Validated
from specforge.planning.comparison.outcomes import StoredScore
from specforge.planning.plan import Plan
from specforge.planning.states import find_results
from specforge.storage.store import Store

HISTORY: Final = "history.json"
SCORES: Final = "scores.json"

_SCORES: Final = TypeAdapter(dict[str, list[StoredScore] | int])


def result_folders(plan: Plan, store: Store) -> dict[str, Path]:
    """Return id → folder of the result of each step that has one, an equal one's under another key included."""
    found = find_results(plan.steps, store)
    return {step.id: store.result(step.kind, found[step.id].key) for step in plan.steps if step.id in found}


def stored_scores(folder: Path) -> list[StoredScore]:
    """Return the scores of a result of score.

    Raises:
        CorruptStateError: SF614, it holds none.
    """
    path = folder / SCORES
    try:
        scores = _SCORES.validate_json(path.read_bytes()).get("scores")
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    except ValidationError as error:
        raise CorruptStateError("SF614", "a file of scores holds none", place=Place(str(path))) from error
    if not isinstance(scores, list):
        raise CorruptStateError("SF614", "a file of scores holds none", place=Place(str(path)))
    return scores


def training_curve(plan: Plan, store: Store, folders: Mapping[str, Path]) -> Curve | None:
    """Return the validations of a plan's training: of its result, else of the log of a run that is not done.

    Args:
        plan: the plan.
        store: its store.
        folders: as `result_folders`.
    """
    train = plan.step("train")
    if "train" in folders:
        return _of_result(folders["train"] / HISTORY)
    settings = train.settings["train"]
    assert isinstance(settings, dict)
    return _of_log(RunFolder(store, plan.name).log(train, ".jsonl"), train.key, str(settings["best_metric"]))


def _of_result(path: Path) -> Curve | None:
    try:
        history = json.loads(path.read_bytes())
        listed = [*history["validations"], history["last"]]
        validated = {int(one["updates"]): Validated(int(one["updates"]), dict(one["valid"])) for one in listed}
        best = history["best_updates"]
        return Curve(str(history["best_metric"]), best, tuple(validated[updates] for updates in sorted(validated)))
    except FileNotFoundError:
        return None  # a plugin of another version may keep none
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptStateError("SF614", "not the history of a training", place=Place(str(path))) from error


def _of_log(path: Path, key: str, best_metric: str) -> Curve | None:
    """Return what a log tells of the attempts at one train step."""
    validated: dict[int, Validated] = {}
    best: int | None = None
    ours = False
    for record in _records(path):
        if record.get("event") == "start":
            ours = record.get("key") == key
        updates = record.get("updates")
        if ours and record.get("event") == "valid" and isinstance(updates, int):
            figures = {name: value for name, value in record.items() if name != "time" and isinstance(value, float)}
            validated[updates] = Validated(updates, figures)  # after a stop, updates are done again
            best = updates if record.get("best") is True else best
    ordered = tuple(validated[updates] for updates in sorted(validated))
    return Curve(best_metric, best, ordered, done=False) if ordered else None


def _records(path: Path) -> Iterator[Mapping[str, JsonValue]]:
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed, or is still writing it
        if isinstance(record, dict):
            yield record
