"""Several processes that train one model: who this process is, and how they agree.

Every process holds the whole model and works on its share of the micro-batches of an update. What the processes must
know in common (sums, whether to stop, whether rank 0 could save) goes through here; with one process nothing is sent.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from pathlib import Path
from typing import Final, Protocol, cast

import torch
import torch.distributed as dist
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch
from specforge.foundation.errors import ErrorRecord, SpecforgeError, from_os_error, from_record
from specforge.models.model import EncoderDecoder
from specforge.tasks.task import Task

# A dead peer is seen at once; this is for one that hangs. Between two collectives lies at most a save by rank 0 or the
# decoding of a slice of the validation text.
_TIMEOUT: Final = timedelta(minutes=10)

# The option got another name in PyTorch 2.13.
_RENAMED: Final = "forward_sync_buffers" in signature(DistributedDataParallel).parameters


class TrainingModule(nn.Module):
    """Model and criterion as one module whose forward pass is the task's training step.

    Data parallelism hooks into the forward pass of the module it wraps, and the vocabulary projection is called by the
    criterion: so the criterion is inside.
    """

    def __init__(self, task: Task, model: EncoderDecoder, criterion: Criterion) -> None:
        super().__init__()
        self._task = task
        self.model = model
        self.criterion = criterion

    def forward(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch."""
        return self._task.train_step(self.model, self.criterion, batch)

    def set_num_updates(self, updates: int) -> None:
        """Tell task and model how many updates have been done."""
        self._task.set_num_updates(updates)
        self.model.set_num_updates(updates)

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """Return what is trained as (name, parameter) pairs, in the order of the names."""
        return sorted((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)

    def validate(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch of validation data."""
        return self._task.valid_step(self.model, self.criterion, batch)


@dataclass(frozen=True, slots=True)
class Parallel:
    """This process among those that train together.

    Args:
        device: where this process computes.
        rank: its number, from 0.
        world: number of processes.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

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

    def wrap(self, module: TrainingModule) -> nn.Module:
        """Return a module whose backward pass sums the gradients over all processes."""
        if self.world == 1:
            return module
        # PyTorch packs gradients anew after the first backward pass, and over gloo the order of a sum of three or more
        # depends on the place in the pack: a resumed training would differ in the last bits. Looking for unused
        # parameters keeps the first packing.
        keeps_packing = self.world > 2 and self.device.type == "cpu"  # noqa: PLR2004  # a + b is b + a
        # Buffers are tables, equal everywhere; sending them with every forward pass would be for nothing.
        if _RENAMED:
            wrapped = DistributedDataParallel(module, forward_sync_buffers=False, find_unused_parameters=keeps_packing)
        else:
            wrapped = DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=keeps_packing)
        # A lambda: PyTorch compares annotations with its own classes and would refuse the strings that ours are.
        wrapped.register_comm_hook(None, lambda _, bucket: _summed(bucket))
        return wrapped

    def accumulating(self, module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Return a context for forward and backward pass of a micro-batch; only the last one of an update communicates."""
        if isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        return nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """Return the sums of some figures over all processes."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def agree(self, *, wish: bool) -> bool:
        """Return whether any process wishes it."""
        return wish if self.world == 1 else bool(self.total(torch.tensor(float(wish), device=self.device)) > 0)

    def gather(self, value: JsonValue) -> list[JsonValue]:
        """Return the values of all processes, by rank."""
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

    def on_main(self, action: Callable[[], JsonValue]) -> JsonValue:
        """Do something on rank 0 and give its result to all; when it fails there, it fails everywhere.

        Raises:
            SpecforgeError: what the action raised; an `OSError` as what it means to the user.
        """
        if self.world == 1:
            return action()
        outcome: JsonValue = None
        if self.main:
            try:
                outcome = {"value": action()}
            except OSError as error:
                outcome = {"error": _as_json(from_os_error(error))}
            except SpecforgeError as error:
                outcome = {"error": _as_json(error)}
        outcome = self.gather(outcome)[0]
        assert isinstance(outcome, dict)
        if "error" in outcome:
            raise from_record(cast("ErrorRecord", outcome["error"]))
        return outcome["value"]


def _as_json(error: SpecforgeError) -> JsonValue:
    return cast("JsonValue", error.record())


def _text(part: Tensor, size: int) -> bytes:
    return bytes(part[:size].tolist())


class _Bucket(Protocol):
    """Gradients that travel together (`torch.distributed.GradBucket`, which torch's types do not show)."""

    def buffer(self) -> Tensor:
        """Return them, flat."""


def _summed(bucket: _Bucket) -> torch.futures.Future[Tensor]:
    """Sum a bucket of gradients: the trainer divides by the count of the whole update, not by the number of processes."""

    def first(reduced: torch.futures.Future[list[Tensor]]) -> Tensor:
        return reduced.value()[0]

    reducing = dist.all_reduce(bucket.buffer(), async_op=True)
    assert reducing is not None
    summed: torch.futures.Future[Tensor] = reducing.get_future().then(first)
    return summed


@contextmanager
def joined(device: torch.device, rank: int, world: int, rendezvous: Path | None) -> Iterator[Parallel]:
    """Join the processes that train together, and leave them at the end.

    Args:
        device: where this process computes; on CUDA gradients go over NCCL, else over gloo.
        rank: number of this process, from 0.
        world: number of processes.
        rendezvous: a file that does not exist yet, in a folder that all processes see; None with one process.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Parallel(device)
        return
    assert rendezvous is not None, "several processes need a file to meet at"
    # Nothing may listen on an interface that other machines can reach.
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
    backend = "nccl" if device.type == "cuda" else "gloo"
    store = dist.FileStore(str(rendezvous), world)  # type: ignore[attr-defined]  # torch's types do not show it
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=_TIMEOUT)
    try:
        yield Parallel(device, rank, world)
    finally:
        dist.destroy_process_group()
