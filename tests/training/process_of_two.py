"""One of two processes that train together, as a program: `process_of_two.py RANK FOLDER`.

It plays scenes one after the other and writes what came of each to FOLDER/RANK.json; `test_parallel.py` reads it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from pydantic import JsonValue
from tiny_training import ONE_UPDATE, Family, Recipe, Recorder, tiny_loader, tiny_trainer

from specforge.foundation.errors import EnvironmentFaultError, SpecforgeError
from specforge.training.non_finite import NonFinitePolicy
from specforge.training.parallel.joining import joined
from specforge.training.parallel.process import Parallel
from specforge.training.rendezvous import file_store
from specforge.training.stopping import StopRequest
from specforge.training.validation import TextScore
from specforge.training.weights import module_weights
from specforge.training.wishes import Wishes

CUTS = (64, 20, 8)
FAMILIES: tuple[Family, ...] = ("transformer", "fconv", "transformer_lm", "transformer_classifier")
MODELS = tuple(replace(ONE_UPDATE, family=family, even=True) for family in FAMILIES)
EVEN_CUTS = (64, 32, 8)
NOT_FINITE = {
    "leaving-out": NonFinitePolicy(skip=1),
    "going-back": NonFinitePolicy(rollback=3, leave_out=6, at_most=1),
}
LONG = Recipe(max_updates=14, dtype=torch.float64, dropout=0.0)


def gradients(parallel: Parallel, folder: Path) -> JsonValue:
    """For each cut: this process's share of the micro-batches, and the weights after one step."""
    return _steps(parallel, folder, [replace(ONE_UPDATE, max_tokens=max_tokens) for max_tokens in CUTS])


def gradients_of_models(parallel: Parallel, folder: Path) -> JsonValue:
    """The same for each model of the house, and for each cut into equally many items."""
    recipes = [replace(recipe, max_tokens=max_tokens) for recipe in MODELS for max_tokens in EVEN_CUTS]
    return _steps(parallel, folder, recipes)


def _steps(parallel: Parallel, folder: Path, recipes: Sequence[Recipe]) -> list[JsonValue]:
    found: list[JsonValue] = []
    for recipe in recipes:
        update = next(tiny_loader(recipe, parallel).updates(epoch=1, position=0))
        work = folder / f"gradient-{recipe.family}-{recipe.max_tokens}"
        trainer, module = tiny_trainer(recipe, work, parallel=parallel)
        trainer.train()
        weights: JsonValue = {name: tensor.tolist() for name, tensor in module_weights(module).items()}
        found.append({"pieces": [[piece.number, piece.counts] for piece in update.pieces], "weights": weights})
    return found


def trajectory(parallel: Parallel, folder: Path) -> JsonValue:
    """Losses of a training in the middle of which rank 1 alone is asked to stop, and which then goes on."""
    request, losses = StopRequest(), Recorder()

    class Asking(Recorder):
        def progress(self, done: int, total: int | None, unit: str, **_: object) -> None:
            del total, unit
            if parallel.rank == 1 and done >= 1:
                request.make()

    try:
        tiny_trainer(LONG, folder / "trajectory", Asking(), request, parallel)[0].train()
        stopped = "not at all"
    except SpecforgeError as error:
        stopped = error.message
    outcome = tiny_trainer(LONG, folder / "trajectory", losses, parallel=parallel)[0].train()
    return {
        "stopped": stopped,
        "updates": [values["updates"] for values in losses.named("train")],
        "losses": [values["loss"] for values in losses.named("train")],
        "valid": [validation.values["loss"] for validation in outcome.state.validations],
    }


def stop_in_validation(parallel: Parallel, folder: Path) -> JsonValue:
    """What a process says when rank 1 alone is asked to stop while validation text is decoded."""
    request = StopRequest()

    def decode(numbers: Sequence[int]) -> list[str]:
        if parallel.rank == 1:
            request.make()
        return [str(number) for number in numbers]

    recipe = replace(LONG, text_score=TextScore("bleu", higher_is_better=True, decode=decode, score=lambda _: 1.0))
    try:
        tiny_trainer(recipe, folder / "validation", stop=request, parallel=parallel)[0].train()
    except SpecforgeError as error:
        return error.message
    return None


def no_number(parallel: Parallel, folder: Path) -> JsonValue:
    """What a process says when the loss of rank 1 alone is not a number."""
    recipe = replace(LONG, nan_at=3 if parallel.rank == 1 else None)
    try:
        tiny_trainer(recipe, folder / "nan", parallel=parallel)[0].train()
    except SpecforgeError as error:
        return error.message
    return None


def not_finite(parallel: Parallel, folder: Path) -> JsonValue:
    """What is left out, where training went back to, and the weights, where the losses of rank 1 alone are no numbers."""
    found: list[JsonValue] = []
    for name, policy in NOT_FINITE.items():
        recipe = replace(LONG, nan_at=3 if parallel.rank == 1 else None, non_finite=policy)
        if name == "going-back":
            recipe = replace(LONG, items=100, poisoned=(11,), non_finite=policy)
        trainer, module = tiny_trainer(recipe, folder / name, parallel=parallel)
        state = trainer.train().state
        weights: JsonValue = {name: tensor.tolist() for name, tensor in module_weights(module).items()}
        returns: list[JsonValue] = [rollback.update for rollback in state.rollbacks]
        found.append({"skipped": [*state.skipped], "returns": returns, "weights": weights})
    return found


def wishes(parallel: Parallel, folder: Path) -> JsonValue:
    """What a process learns of wishes, at once and an update later: rank 1 has the first at its second turn."""
    del folder
    found: list[JsonValue] = []
    for later in (False, True):
        exchange = Wishes(parallel, later=later)
        found.append([[*exchange.exchange([parallel.rank == turn == 1, parallel.rank == 0])] for turn in range(4)])
        exchange.close()
    return found


def main_fails(parallel: Parallel, folder: Path) -> JsonValue:
    """What a process says when rank 0 alone cannot write."""
    del folder

    def fail() -> JsonValue:
        raise OSError(28, "No space left on device", "/full")

    try:
        parallel.on_main(fail)
    except EnvironmentFaultError as error:
        return [error.code, str(error.place)]
    except OSError:
        return ["OSError"]
    return None


def exchange(parallel: Parallel, folder: Path) -> JsonValue:
    """Texts of unequal length from both processes, and a wish of rank 1."""
    del folder
    mine: JsonValue = ["Grüße"] * (3 * parallel.rank) + [parallel.rank]
    return [parallel.gather(mine), parallel.agree(wish=parallel.rank == 1), parallel.agree(wish=False)]


def decoding(parallel: Parallel, folder: Path) -> JsonValue:
    """What is scored, and how many items this process decoded."""
    decoded: list[int] = []
    scored: list[JsonValue] = []

    def decode(numbers: Sequence[int]) -> list[str]:
        decoded.extend(numbers)
        return [f"line {number}" for number in numbers]

    def score(lines: Sequence[str]) -> float:
        scored.extend(lines)
        return 1.0

    recipe = replace(LONG, max_updates=5, text_score=TextScore("bleu", True, decode, score))
    tiny_trainer(recipe, folder / "decoding", parallel=parallel)[0].train()
    return {"decoded": len(decoded), "scored": scored}


SCENES: tuple[Callable[[Parallel, Path], JsonValue], ...] = (
    gradients,
    gradients_of_models,
    trajectory,
    stop_in_validation,
    no_number,
    not_finite,
    wishes,
    main_fails,
    exchange,
    decoding,
)


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    with joined(torch.device("cpu"), rank, 2, partial(file_store, folder / "rendezvous", 2)) as parallel:
        found = {scene.__name__: scene(parallel, folder) for scene in SCENES}
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
