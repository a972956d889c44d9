"""How far off the estimated memory of a training is: real updates in a fresh process, against the estimate of `plan`.

    python benchmarks/memory_estimate.py [--updates 2]

What is measured is the growth of the process's largest resident size over what it was before the model was built, with
everything warmed up by a tiny model. It is measured twice: with malloc giving every freed block back to the system at once,
which is what is in use, and with malloc as it is, which keeps freed blocks for later. (Linux with glibc.)
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from hardware import write_result
from numpy.typing import NDArray
from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.plugin import ModelContext, Symbols
from specforge.steps.parts import make_criterion, make_model, make_optimizer, make_task
from specforge.steps.rehearsed_model import RehearsedModel
from specforge.training.module import TrainingModule
from specforge.training.precision import autocast

TASK: Final[JsonValue] = {"use": "translation", "source": "en", "target": "de"}
CRITERION: Final[JsonValue] = {"use": "label_smoothed_cross_entropy", "label_smoothing": 0.1}
ADAM: Final[JsonValue] = {"use": "adam", "lr": 1e-4}
SMALL: Final[JsonValue] = {
    "use": "transformer",
    "encoder_layers": 3,
    "decoder_layers": 3,
    "embed_dim": 256,
    "ffn_dim": 1_024,
    "attention_heads": 4,
    "share_embeddings": "all",
}
MODELS: Final[Mapping[str, tuple[JsonValue, JsonValue, int]]] = {
    "transformer, 3 + 3 layers of 256": (SMALL, ADAM, 8_000),
    "transformer, 6 + 6 layers of 512": ({"use": "transformer", "share_embeddings": "all"}, ADAM, 32_000),
    "fconv, 20 + 20 layers of 512": ({"use": "fconv"}, {"use": "nag", "lr": 0.1}, 8_000),
}
"""Name → tables of model and optimizer, and the size of the vocabulary that both sides share."""

ITEMS: Final = 64
LONGEST: Final = 40
GIVING_BACK: Final = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Environment in which glibc's malloc keeps no large block."""

_KIB: Final = 1_024
_MIB: Final = 2**20


def lengths(items: int) -> dict[str, NDArray[np.int64]]:
    """Return lengths of items between 3/4 of the longest and the longest, as a batch of sorted items has them."""
    column = np.linspace(LONGEST * 3 // 4, LONGEST, items).astype(np.int64)
    return {"source": column, "target": column[::-1].copy()}


def job(name: str, precision: str) -> Job:
    """Return the job of a model."""
    model, optimizer, _ = MODELS[name]
    settings: dict[str, JsonValue] = {
        "task": TASK,
        "model": model,
        "criterion": CRITERION,
        "optimizer": optimizer,
        "train": {"max_updates": 1, "precision": precision},
        "run": {"device": "cpu"},
    }
    return Job(id="estimate", kind="estimate", settings=settings)


def context(name: str) -> ModelContext:
    """Return the vocabularies of a model."""
    return ModelContext(dict.fromkeys(("source", "target"), Symbols(MODELS[name][2])), joined=True)


def estimated(name: str, precision: str) -> int:
    """Return the bytes that are expected at the peak."""
    described = job(name, precision)
    model = RehearsedModel(described, make_task(TASK), context(name))
    rehearsal = model.rehearsed(lengths(ITEMS), again=False)
    assert rehearsal is not None
    return rehearsal.peak


def trained(name: str, precision: str, items: int, updates: int) -> None:
    """Build a model and train it on one batch."""
    described = job(name, precision)
    task = make_task(TASK)
    columns = lengths(items)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    texts = [{role: np.append(np.full(n - 1, 3), 2) for role, n in zip(columns, row, strict=True)} for row in rows]
    batch = task.collate(texts)
    built = make_model(described.settings["model"], context(name))
    module = TrainingModule(task, built, make_criterion(CRITERION, context(name))).train()
    optimizer = make_optimizer(described.settings["optimizer"], module.trainable())
    for _ in range(updates):
        optimizer.zero_grad(set_to_none=True)
        with autocast(torch.device("cpu"), "bf16" if precision == "bf16" else "fp32"):
            loss = module(batch)
        loss.total.backward()
        optimizer.step()


def resident(field: str) -> int:
    """Return `VmRSS` (now) or `VmHWM` (the largest so far) of this process in bytes."""
    rows = Path("/proc/self/status").read_text().split("\n")
    return next(int(row.split()[1]) * _KIB for row in rows if row.startswith(field))


def measure(name: str, precision: str, updates: int) -> None:
    """Print the growth of this process in bytes."""
    trained(next(iter(MODELS)), precision, 2, 1)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the largest size so far
    before = resident("VmRSS")
    trained(name, precision, ITEMS, updates)
    print(resident("VmHWM") - before)


def in_a_fresh_process(name: str, precision: str, updates: int, environment: Mapping[str, str]) -> int:
    """Return what `measure` prints, in an environment on top of ours."""
    command = [sys.executable, __file__, "--measure", name, "--precision", precision, "--updates", str(updates)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return int(done.stdout)


def main() -> None:
    """Measure all models, print the table and write `results/memory_estimate.json`."""
    parser = argparse.ArgumentParser(description="memory of real updates against its estimate")
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--measure", choices=MODELS)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments.measure, arguments.precision, arguments.updates)
        return
    figures: list[JsonValue] = []
    for name in MODELS:
        for precision in ("fp32", "bf16"):
            expected = estimated(name, precision)
            used = in_a_fresh_process(name, precision, arguments.updates, GIVING_BACK)
            resident_size = in_a_fresh_process(name, precision, arguments.updates, {})
            error = 100 * (expected / used - 1)
            figures.append(
                {
                    "model": name,
                    "precision": precision,
                    "estimated_mib": round(expected / _MIB),
                    "used_mib": round(used / _MIB),
                    "error_percent": round(error, 1),
                    "resident_mib": round(resident_size / _MIB),
                    "resident_over_used": round(resident_size / used, 2),
                }
            )
            print(
                f"{name}, {precision}: estimated {expected / _MIB:.0f} MiB, used {used / _MIB:.0f} ({error:+.1f} %), "
                f"resident {resident_size / _MIB:.0f}"
            )
    path = write_result(
        "memory_estimate",
        {"device": "cpu", "items": ITEMS, "longest": LONGEST, "updates": arguments.updates, "models": figures},
    )
    print(f"figures in {path.relative_to(Path(__file__).parent.parent)}")


if __name__ == "__main__":
    main()
