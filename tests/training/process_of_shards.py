"""One of several processes that train together with cut weights, as a program: `process_of_shards.py WORLD RANK FOLDER`.

It plays scenes one after the other and writes what came of each to FOLDER/RANK.json; `test_fsdp.py` reads it.
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
from tiny_training import Family, ListCorpus, Recipe, Recorder, TinyTask, tiny_trainer
from torch.optim import Optimizer

from specforge.foundation.errors import EnvironmentFaultError, SpecforgeError
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.optimizers.adamw.config import AdamWConfig
from specforge.optimizers.adamw.optimizer import build as build_adamw
from specforge.optimizers.nag.config import NagConfig
from specforge.optimizers.nag.optimizer import build as build_nag
from specforge.optimizers.sgd.config import SgdConfig
from specforge.optimizers.sgd.optimizer import build as build_sgd
from specforge.training.loading import MicroBatch
from specforge.training.module import TrainingModule
from specforge.training.parallel.joining import joined
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.rendezvous import file_store
from specforge.training.updater import Updater
from specforge.training.validation import TextScore

RECIPE = Recipe(max_updates=12, max_tokens=8, dropout=0.3, clip_norm=0.5)
LONG = replace(RECIPE, family="transformer")
"""Of the training that is handed from world to world."""

_VALID = ListCorpus(15, seed=2)

FAMILIES: tuple[Family, ...] = ("tiny", "transformer", "fconv")
OPTIMIZERS: dict[str, Callable[[TrainingModule | Strategy], Optimizer]] = {
    "adam": lambda held: build_adam(AdamConfig(lr=0.02, weight_decay=0.01), held.trainable()),
    "adamw": lambda held: build_adamw(AdamWConfig(lr=0.02, amsgrad=True, kernel="foreach"), held.trainable()),
    "sgd": lambda held: build_sgd(SgdConfig(lr=0.02, momentum=0.9, weight_decay=0.01), held.trainable()),
    "nag": lambda held: build_nag(NagConfig(lr=0.02), held.trainable()),
}


def trained(
    parallel: Parallel,
    recipe: Recipe,
    work: Path,
    optimizer: Callable[[TrainingModule | Strategy], Optimizer] | None = None,
) -> dict[str, JsonValue]:
    """Train, and return what was logged and validated, and which items this process worked on, update by update."""
    recorder, items = Recorder(), list[JsonValue]()
    apply = Updater.apply

    def noting(self: Updater, pieces: Sequence[MicroBatch], lr: float, updates: int) -> None:
        items.append([int(item) for piece in pieces if piece.counts for item in piece.items])
        apply(self, pieces, lr, updates)

    Updater.apply = noting  # type: ignore[method-assign]
    try:
        outcome = tiny_trainer(recipe, work, recorder, parallel=parallel, optimizer=optimizer)[0].train()
    finally:
        Updater.apply = apply  # type: ignore[method-assign]
    return {
        "items": items,
        "updates": [values["updates"] for values in recorder.named("train")],
        "loss": [values["loss"] for values in recorder.named("train")],
        "gradient_norm": [values["gradient_norm"] for values in recorder.named("train")],
        "valid": [validation.values["loss"] for validation in outcome.state.validations],
        "last": outcome.last_values["loss"],
    }


def models(parallel: Parallel, folder: Path) -> JsonValue:
    """A training of each model."""
    return {
        name: trained(parallel, replace(RECIPE, family=name, strategy="fsdp"), folder / f"model-{name}")
        for name in FAMILIES
    }


def optimizers(parallel: Parallel, folder: Path) -> JsonValue:
    """A training with each optimizer that looks at every weight alone."""
    recipe = replace(RECIPE, family="transformer", strategy="fsdp")
    return {name: trained(parallel, recipe, folder / f"with-{name}", build) for name, build in OPTIMIZERS.items()}


def decoding(parallel: Parallel, folder: Path) -> JsonValue:
    """What is scored when texts are decoded, and how many items this process decoded."""
    decoded: list[int] = []
    held: list[TrainingModule] = []

    def decode(numbers: Sequence[int]) -> list[str]:
        decoded.extend(numbers)
        for _ in range(1 + parallel.rank):  # a search takes as many steps as it takes
            held[0].model.features(TinyTask().collate([_VALID.item(number) for number in numbers]))
        return [f"line {number}" for number in numbers]

    def score(lines: Sequence[str]) -> float:
        return float([f"line {number}" for number in range(15)] == list(lines))

    text_score = TextScore("bleu", higher_is_better=True, decode=decode, score=score)
    recipe = replace(
        RECIPE, family="transformer", strategy="fsdp", text_score=text_score, max_updates=12, metric="bleu"
    )
    trainer, module = tiny_trainer(recipe, folder / "decoding", parallel=parallel)
    held.append(module)
    outcome = trainer.train()
    return {"decoded": len(decoded), "bleu": outcome.state.validations[0].values["bleu"]}


def blame(parallel: Parallel, folder: Path) -> JsonValue:
    """What is said of an update with an item whose loss is no number."""
    try:
        tiny_trainer(replace(RECIPE, poisoned=(11,), strategy="fsdp"), folder / "blame", parallel=parallel)[0].train()
    except SpecforgeError as error:
        return [error.code, *error.notes]
    return None


def disk_full(parallel: Parallel, folder: Path) -> JsonValue:
    """What a process says when rank 1 alone cannot write its part, and what is left."""
    from specforge.foundation import durable

    write = durable.write_file

    def full(path: Path, data: bytes) -> None:
        if path.name == "model-1.safetensors":
            raise OSError(28, "No space left on device", str(path))
        write(path, data)

    durable.write_file = full
    try:
        tiny_trainer(replace(RECIPE, strategy="fsdp"), folder / "full", parallel=parallel)[0].train()
    except EnvironmentFaultError as error:
        left: list[JsonValue] = [
            path.name for part in ("tmp", "checkpoints") for path in (folder / "full" / part).iterdir()
        ]
        return [error.code, left if parallel.main else []]
    finally:
        durable.write_file = write
    return None


def chain(parallel: Parallel, folder: Path) -> JsonValue:
    """One link of a training that goes on in another world: FOLDER/link.json says how far and how."""
    link = json.loads((folder / "link.json").read_text())
    return trained(parallel, replace(LONG, **link["recipe"]), Path(link["work"]))


SCENES = (models, optimizers, decoding, blame, disk_full)


def main() -> None:
    world, rank, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    scenes = (chain,) if (folder / "link.json").exists() else SCENES
    with joined(torch.device("cpu"), rank, world, partial(file_store, folder / "rendezvous", world)) as parallel:
        found = {scene.__name__: scene(parallel, folder) for scene in scenes}
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
