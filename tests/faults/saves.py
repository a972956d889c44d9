"""A training whose working folder is attacked: what it must come to, and whether it did.

Everything here is the real trainer on a tiny model (`tiny_training`): a run of twelve updates that saves after
every third, removes what is old, and keeps validated weights on the way.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from disk import Recorder as Disk
from disk import images
from forked import ended, started
from operations import Fault, Operation, Strike, Watcher, watched
from tiny_training import Recipe, Recorder, tiny_trainer

from specforge.foundation.canonical import digest_bytes
from specforge.foundation.errors import ExitCode
from specforge.training.checkpoints import Checkpoints
from specforge.training.settings import Every
from specforge.training.state import Selection
from specforge.training.weights import module_weights, weight_bytes

RECIPE: Final = Recipe(max_updates=12, average_last=1, checkpoint_every=Every(3, "update"))
FIRST: Final = replace(RECIPE, max_updates=6)
IN_BACKGROUND: Final = replace(RECIPE, checkpoint_every=Every(0, "minute"))
"""A save after every update, written while training goes on."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Args:
        digest: of its last weights and its state, clocks left out.
        first: number of the first update of this attempt.
    """

    digest: str
    first: int | None


def trained(work: Path, recipe: Recipe = RECIPE) -> Trained:
    """Train to the end of a recipe, from the newest checkpoint on."""
    torch.set_num_threads(1)
    recorder = Recorder()
    trainer, module = tiny_trainer(recipe, work, recorder)
    state = trainer.train().state.model_dump(mode="json", exclude={"seconds"})
    digest = digest_bytes(weight_bytes(module_weights(module)) + json.dumps(state, sort_keys=True).encode())
    updates = [values["updates"] for values in recorder.named("train")]
    return Trained(digest, int(str(updates[0])) if updates else None)


def halfway(work: Path) -> None:
    """Fill a working folder with what is there after six updates."""
    trained(work, FIRST)


def attacked(work: Path, number: int, fault: Fault, marker: Path, recipe: Recipe = RECIPE) -> None:
    """Train to the end while one operation on the disk goes wrong; for a process of its own."""
    with watched(work, Strike(number, fault, marker)):
        trained(work, recipe)
    sys.exit(0)


def copied(source: Path, target: Path) -> Path:
    """Copy a working folder."""
    shutil.copytree(source, target, symlinks=True)
    return target


ONE_TOO_MANY: Final = Operation(1_000_000, "write", "")
"""An operation that never comes: the run ends well without its fault."""


class Counter(Watcher):
    """Keeps all operations."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def after(self, operation: Operation) -> None:
        self.operations.append(operation)


def sweep(
    half: Path, undisturbed: Trained, folder: Path, fault: Fault, recipe: Recipe = RECIPE, stride: int = 1
) -> Iterator[tuple[Operation, str | None]]:
    """Let every operation of the second half of a training go wrong once.

    Args:
        half: a working folder after the first half.
        undisturbed: what training comes to without a fault.
        folder: an empty one.
        fault: how they go wrong.
        recipe: of the second half.
        stride: 1 for every operation, n for every n-th.

    Yields:
        Each operation whose fault fired, and what was lost or wrongly claimed, or None.
    """
    whole = copied(half, folder / "whole")
    counter = Counter()
    with watched(whole, counter):
        trained(whole, recipe)
    for operation in (*counter.operations[::stride], ONE_TOO_MANY):
        if fault == "short write" and operation.kind != "write":
            continue  # what writes nothing cannot be cut short
        number = operation.number
        work, marker = copied(half, folder / str(number)), folder / f"fired-{number}"
        code = ended(started(attacked, work, number, fault, marker, recipe))
        if marker.exists():
            yield operation, _weakness(work, fault, code, undisturbed)
        elif code != 0 or number <= 0.9 * len(counter.operations):  # threads may save an operation or two at the end
            yield operation, f"the fault did not fire, and the exit code is {code}"


def _weakness(work: Path, fault: Fault, code: int, undisturbed: Trained) -> str | None:
    if code not in ({-9} if fault.startswith("kill") else {0, ExitCode.ENVIRONMENT}):
        return f"exit code {code}"
    if code == 0 and newest(work) != RECIPE.max_updates:  # it says that all is saved: so it must be
        return "a save is claimed that is not there"
    return _unlike(trained(work), undisturbed)


def _unlike(again: Trained, undisturbed: Trained) -> str | None:
    if again.digest != undisturbed.digest:
        return "other weights or state at the end"
    half = FIRST.max_updates
    assert half is not None
    return "the first half was lost" if again.first is not None and again.first <= half else None


def newest(work: Path, ears: Recorder | None = None) -> int:
    """Return the updates of the newest whole checkpoint."""
    checkpoints = Checkpoints(work, Selection("loss", higher_is_better=False, average_last=1), ears or Recorder())
    checkpoints.prepare()
    path = checkpoints.newest(lambda _: True)
    return 0 if path is None else checkpoints.read(path).state.updates


def recorded(work: Path) -> Disk:
    """Train in an empty working folder, and return what the disk held during the second half."""
    halfway(work)
    disk = Disk(work)
    with watched(work, disk):
        trained(work)
    return disk


def power_losses(disk: Disk, folder: Path, choices: random.Random, each: int) -> Iterator[str | None]:
    """Look for the newest checkpoint in images of the disk after every operation; yield what is wrong with each, or None.

    A checkpoint that no power loss could take away once must not be missing later, nothing may be found damaged, and at
    the end the last save must be safe.
    """
    half = FIRST.max_updates
    assert half is not None
    safe = half
    for number, moment in enumerate(disk.moments):
        place = folder / str(number)
        place.mkdir()
        for image in images(disk, number, place, choices, each):
            ears = Recorder()
            found = newest(image, ears)
            lost = f"{found} updates where {safe} were safe" if found < safe else None
            wrong = "; ".join(ears.warnings) or lost
            yield f"after {moment.operation}, image {image.name}: {wrong}" if wrong else None
            safe = max(safe, found) if image.name == "0" else safe
        shutil.rmtree(place)
    yield None if safe == RECIPE.max_updates else "the last save was never safe"


def trained_on(disk: Disk, undisturbed: Trained, folder: Path, choices: random.Random) -> str | None:
    """Train to the end from an image of a random moment; return what is wrong with what that comes to, or None."""
    number = choices.randrange(len(disk.moments))
    *_, image = images(disk, number, folder, choices, choices.randint(1, 5))
    wrong = _unlike(trained(copied(image, folder / "work")), undisturbed)
    return wrong and f"after {disk.moments[number].operation}, image {image.name}: {wrong}"
