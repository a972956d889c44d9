"""One of two processes that train with averages of the weights, as a program: `process_of_averages.py RANK FOLDER`.

It trains once under each strategy and writes what was published to FOLDER/RANK.json; `test_ema.py` reads it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from pydantic import JsonValue
from tiny_training import Recipe, tiny_trainer

from specforge.training.parallel.choice import StrategyName
from specforge.training.parallel.joining import joined
from specforge.training.parallel.process import Parallel
from specforge.training.rendezvous import file_store
from specforge.training.settings import Every

AVERAGED = Recipe(
    max_updates=12,
    max_tokens=8,
    dropout=0.0,
    dtype=torch.float64,
    ema_decay=0.8,
    family="transformer",
    plain=True,
    checkpoint_every=Every(0, "minute"),  # after every update, with `ddp` in the background
)
STRATEGIES: tuple[StrategyName, ...] = ("ddp", "fsdp")


def published(parallel: Parallel, recipe: Recipe, work: Path) -> JsonValue:
    """Train, with a stop after 7 updates, and return the losses of validation and the weights that are published."""
    tiny_trainer(replace(recipe, max_updates=7), work, parallel=parallel)[0].train()
    trainer, module = tiny_trainer(recipe, work, parallel=parallel)
    outcome = trainer.train()
    with trainer.published_weights():
        whole = trainer._strategy.whole_weights(module.model)
        weights: JsonValue = {name: tensor.tolist() for name, tensor in whole.items()}
    return {
        "valid": [validation.values["loss"] for validation in outcome.state.validations],
        "last": outcome.last_values["loss"],
        "weights": weights,
    }


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    with joined(torch.device("cpu"), rank, 2, partial(file_store, folder / "rendezvous", 2)) as parallel:
        found = {
            strategy: published(parallel, replace(AVERAGED, strategy=strategy), folder / strategy)
            for strategy in STRATEGIES
        }
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
