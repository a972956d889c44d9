"""Joining the processes that train together, and leaving them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist

from specforge.foundation.heartbeat import Heart
from specforge.training.parallel.process import Parallel
from specforge.training.rendezvous import Store

# A dead peer is seen at once; this is for one that hangs. Between two collectives lies at most a save by rank 0 or the
# decoding of a slice of the validation text.
_TIMEOUT: Final = timedelta(minutes=10)

_NO_HEART: Final = Heart()


@contextmanager
def joined(
    device: torch.device,
    rank: int,
    world: int,
    store: Callable[[], Store] | None,
    heart: Heart = _NO_HEART,
    timeout: timedelta = _TIMEOUT,
) -> Iterator[Parallel]:
    """Join the processes that train together, and leave them at the end.

    Args:
        device: where this process computes; on CUDA gradients go over NCCL, else over gloo.
        rank: number of this process, from 0.
        world: number of processes.
        store: opens the store where they meet (`specforge.training.rendezvous`); None with one process.
        heart: what this process says about being alive.
        timeout: how long one may wait for the others.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Parallel(device, heart=heart)
        return
    assert store is not None, "several processes need a place to meet"
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store(), rank=rank, world_size=world, timeout=timeout)
    try:
        yield Parallel(device, rank, world, heart)
    finally:
        dist.destroy_process_group()
