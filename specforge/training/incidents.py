"""What an update that went wrong was made of, kept for people: its micro-batches, their items and what they came to.

In the working folder of a trajectory: `non-finite/<update>/batch.json` and `out-of-memory/<update>/batch.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch
from pydantic import JsonValue
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import get_total_norm

from specforge.criterions.criterion import Loss
from specforge.foundation import durable
from specforge.foundation.errors import EnvironmentFaultError
from specforge.training.loading import MicroBatch, PreparedUpdate

Kind: TypeAlias = Literal["non-finite", "out-of-memory"]

_NAMED: Final = 20  # parameters of a micro-batch with a gradient that is not finite; after a NaN they are often all


class Incidents:
    """Writes down what went wrong.

    Args:
        work: the working folder of the trajectory.
        describe: what is known of an item by its number in the prepared corpus: where it is from, its text.
    """

    def __init__(self, work: Path, describe: Callable[[int], Mapping[str, JsonValue]]) -> None:
        self._work = work
        self._describe = describe

    def items(self, piece: MicroBatch) -> list[JsonValue]:
        """Return what is known of the items of a micro-batch."""
        return [{"item": int(item), **self._describe(int(item))} for item in piece.items]

    def write(self, kind: Kind, update: int, facts: Mapping[str, JsonValue], rollbacks: int = 0) -> str:
        """Write what is known of an update, and return the path of the file; an update that comes again is written anew.

        Args:
            kind: what went wrong.
            update: its number, from 1.
            facts: what is known.
            rollbacks: how often training went back before: then an update of this number has other items.
        """
        turn = f"-rollback-{rollbacks}" if rollbacks else ""
        path = durable.make_folder(self._work / kind / f"{update}{turn}") / "batch.json"
        durable.replace_file(path, durable.json_text({"format": 1, "update": update, **facts}))
        return str(path)


def place_of(prepared: PreparedUpdate) -> dict[str, JsonValue]:
    """Return where an update stands in the plan."""
    return {"epoch": prepared.update.epoch, "position": prepared.update.position}


def figures_of(
    piece: MicroBatch, loss: Loss, parameters: Iterable[tuple[str, Parameter]], scale: float
) -> dict[str, JsonValue]:
    """Return what a micro-batch came to, whose own gradient stands in the parameters.

    Args:
        piece: the micro-batch.
        loss: its loss.
        parameters: what is trained, as (name, parameter) pairs.
        scale: what the loss was multiplied by before the gradient was computed.
    """
    gradients = {name: parameter.grad for name, parameter in parameters if parameter.grad is not None}
    wrong = [name for name, gradient in gradients.items() if not bool(torch.isfinite(gradient).all())]
    return {
        "micro_batch": piece.number,
        "loss": number(loss.total),
        "targets": loss.count,
        "gradient_norm": number(get_total_norm(gradients.values()) / scale),
        "parameters_not_finite": len(wrong),
        "parameters": [*wrong[:_NAMED]],
    }


def out_of_memory(
    prepared: PreparedUpdate, update: int, piece: MicroBatch | None, incidents: Incidents
) -> EnvironmentFaultError:
    """Return the error for an update that does not fit into memory, and write down what it is made of.

    Args:
        prepared: the update.
        update: its number, from 1.
        piece: the micro-batch that was computed.
        incidents: where it is written down.
    """
    piece = piece or prepared.pieces[0]
    sides: dict[str, JsonValue] = {**piece.batch.sides()}
    facts = {**place_of(prepared), "micro_batch": piece.number, "padded_to": sides, "items": incidents.items(piece)}
    try:
        written = f"its items are in `{incidents.write('out-of-memory', update, facts)}`"
    except OSError as error:
        written = f"its items could not be written down: {error}"
    shape = " and ".join(f"{length:,} tokens of {role}" for role, length in piece.batch.sides().items())
    return EnvironmentFaultError(
        "SF679",
        f"out of memory in update {update:,}, with micro-batch {piece.number} of {piece.batch.items:,} items, padded to "
        f"{shape}",
        notes=(written,),
        help="lower `run.max_tokens`: the updates stay the same, and training goes on from its last checkpoint",
    )


def number(value: Tensor | float) -> float | str:
    """Return a number as JSON has it, which knows no infinity and nothing that is not a number."""
    plain = float(value.detach() if isinstance(value, Tensor) else value)
    return plain if isfinite(plain) else str(plain)
