"""One of two processes whose layers are compiled or compute twice, as a program: `process_of_layers.py MODEL WORLD RANK FOLDER`.

It trains once for each strategy and way, and writes what came of it to FOLDER/RANK.json; `test_layers.py` reads it.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from tiny_training import Family, Recipe, Recorder, tiny_trainer

from specforge.training.parallel.choice import StrategyName
from specforge.training.parallel.joining import joined
from specforge.training.parallel.process import Parallel
from specforge.training.rendezvous import file_store

RECIPE = Recipe(max_updates=6, max_tokens=8, family="transformer")
WAYS: dict[str, Callable[[Recipe], Recipe]] = {
    "compiled": lambda recipe: replace(recipe, compiler="eager"),
    "checkpointed": lambda recipe: replace(recipe, checkpointing=True),
    "both": lambda recipe: replace(recipe, compiler="eager", checkpointing=True),
}
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)


def trained(recipe: Recipe, work: Path, parallel: Parallel) -> dict[str, list[Any]]:
    """Train, and return the series of the log and of the validations."""
    recorder = Recorder()
    outcome = tiny_trainer(recipe, work, recorder, parallel=parallel)[0].train()
    lines = recorder.named("train")
    return {
        "loss": [line["loss"] for line in lines],
        "gradient_norm": [line["gradient_norm"] for line in lines],
        "valid": [validation.values["loss"] for validation in outcome.state.validations],
    }


def main(family: Family, world: int, rank: int, folder: Path) -> None:
    # PyTorch's compiler looks for gradients where there are none, and this program is run with warnings as errors.
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
    with joined(torch.device("cpu"), rank, world, partial(file_store, folder / "meeting", world)) as parallel:
        found = {
            f"{strategy} {way}": trained(
                varied(replace(RECIPE, family=family, strategy=strategy)), folder / f"{strategy}-{way}", parallel
            )
            for strategy in STRATEGIES
            for way, varied in WAYS.items()
        }
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    chosen = next(name for name in get_args(Family) if name == sys.argv[1])
    main(chosen, int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
