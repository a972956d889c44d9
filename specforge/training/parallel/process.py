"""Who this process is among those that train one model, and how they agree.

What the processes must know in common (sums, whether to stop, whether rank 0 could save) goes through here; with one process
nothing is sent. How they share weights and gradients stands in `strategy`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

import torch
import torch.distributed as dist
from pydantic import JsonValue
from torch import Tensor, nn

from specforge.foundation.errors import ErrorRecord, SpecforgeError, from_os_error, from_record
from specforge.foundation.heartbeat import Heart

_NO_HEART: Final = Heart()


@dataclass(frozen=True, slots=True)
class Parallel:
    """This process among those that train together.

    Args:
        device: where this process computes.
        rank: its number, from 0.
        world: number of processes.
        heart: beats wherever all processes pass equally often: at each micro-batch, and before whatever they do together.
    """

    device: torch.device
    rank: int = 0
    world: int = 1
    heart: Heart = _NO_HEART

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def mine(self, count: int) -> tuple[list[int], int]:
        """Return which of `count` pieces of work this process does, and how many turns every process takes.

        Piece m belongs to rank m mod world; where a process has fewer pieces than there are turns, it has none left for
        the last turn.
        """
        return list(range(self.rank, count, self.world)), -(-count // self.world)

    def total(self, values: Tensor) -> Tensor:
        """Return the sums of some figures over all processes."""
        self.heart.beat()
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def agree(self, *, wish: bool) -> bool:
        """Return whether any process wishes it."""
        self.heart.beat()
        return wish if self.world == 1 else bool(self.total(torch.tensor(float(wish), device=self.device)) > 0)

    def gather(self, value: JsonValue) -> list[JsonValue]:
        """Return the values of all processes, by rank."""
        self.heart.beat()
        if self.world == 1:
            return [value]
        # As bytes in tensors: torch's own gathering of objects would pickle them.
        data = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=self.device)
        sizes = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor([len(data)], device=self.device))
        longest = max(int(size) for size in sizes)
        parts = [torch.zeros(longest, dtype=torch.uint8, device=self.device) for _ in range(self.world)]
        dist.all_gather(parts, nn.functional.pad(data, (0, longest - len(data))))
        return [json.loads(_text(part, int(size))) for part, size in zip(parts, sizes, strict=True)]

    def everywhere(self, action: Callable[[], JsonValue]) -> list[JsonValue]:
        """Do something in every process and give all results to all; when it fails in one, it fails everywhere.

        Raises:
            SpecforgeError: what the action of the first rank that failed raised; an `OSError` as what it means to the user.
        """
        outcomes = self.gather(_outcome(action))
        return [_value(outcome) for outcome in outcomes]

    def on_main(self, action: Callable[[], JsonValue]) -> JsonValue:
        """Do something on rank 0 and give its result to all; when it fails there, it fails everywhere.

        Raises:
            SpecforgeError: what the action raised; an `OSError` as what it means to the user.
        """
        self.heart.beat()
        if self.world == 1:
            return action()
        return _value(self.gather(_outcome(action) if self.main else None)[0])


def _outcome(action: Callable[[], JsonValue]) -> JsonValue:
    try:
        return {"value": action()}
    except OSError as error:
        return {"error": _as_json(from_os_error(error))}
    except SpecforgeError as error:
        return {"error": _as_json(error)}


def _value(outcome: JsonValue) -> JsonValue:
    assert isinstance(outcome, dict)
    if "error" in outcome:
        raise from_record(cast("ErrorRecord", outcome["error"]))
    return outcome["value"]


def _as_json(error: SpecforgeError) -> JsonValue:
    return cast("JsonValue", error.record())


def _text(part: Tensor, size: int) -> bytes:
    return bytes(part[:size].tolist())
