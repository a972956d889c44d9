"""fairseq 0.12.2 in rounds (`pacing`), or its preprocessing: run by an interpreter that has it, and has no specforge.

    PYTHON train_fairseq.py preprocess ARGUMENTS
    PYTHON train_fairseq.py train UPDATES ARGUMENTS

The release runs on Python 3.11 once dataclass instances may be the defaults of dataclass fields again.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Sequence

# An instance that compares by value has no hash, and Python 3.11 takes that for a mutable default.
dataclasses._hash_action[(False, True, False, False)] = None  # type: ignore[attr-defined]  # noqa: SLF001


def main() -> None:
    """Hand over to fairseq; its training loop counts its updates."""
    command = sys.argv.pop(1)
    if command == "train":
        from pacing import Pacer

        pacer = Pacer(int(sys.argv.pop(1)))
        trainer = importlib.import_module("fairseq.trainer").Trainer
        original = trainer.train_step

        def train_step(self: object, samples: Sequence[dict[str, int]], *rest: object, **further: object) -> object:
            done = original(self, samples, *rest, **further)
            pacer.update(sum(sample["ntokens"] for sample in samples))
            return done

        trainer.train_step = train_step
    sys.argv[0] = f"fairseq-{command}"
    importlib.import_module(f"fairseq_cli.{command}").cli_main()


if __name__ == "__main__":
    main()
