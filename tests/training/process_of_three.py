"""One of three processes that train together, as a program: `process_of_three.py RANK FOLDER`.

It trains once at a stretch and once with a stop, and writes a digest of both to FOLDER/RANK.json; `test_parallel.py` reads it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from tiny_training import Recipe, tiny_trainer

from specforge.training.parallel.joining import joined
from specforge.training.parallel.process import Parallel
from specforge.training.rendezvous import file_store
from specforge.training.weights import module_weights, weight_bytes

RECIPE = Recipe(family="transformer", batch_tokens=40, max_tokens=8, max_updates=8)


def _end(parallel: Parallel, work: Path, updates: int) -> str:
    trainer, module = tiny_trainer(replace(RECIPE, max_updates=updates), work, parallel=parallel)
    trainer.train()
    return hashlib.sha256(weight_bytes(module_weights(module))).hexdigest()


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    with joined(torch.device("cpu"), rank, 3, partial(file_store, folder / "rendezvous", 3)) as parallel:
        whole = _end(parallel, folder / "whole", 8)
        _end(parallel, folder / "resumed", 3)
        resumed = _end(parallel, folder / "resumed", 8)
    (folder / f"{rank}.json").write_text(json.dumps([whole, resumed]))


if __name__ == "__main__":
    main()
