"""Where a step computes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import JsonValue

from specforge.foundation.errors import EnvironmentFaultError


def chosen_device(settings: Mapping[str, JsonValue], rank: int = 0) -> torch.device:
    """Return the device that `run.device` stands for.

    Args:
        settings: a job's settings; `run.device` is auto (cuda where there is one), cpu or cuda.
        rank: number of this process: each takes a device of its own.

    Raises:
        EnvironmentFaultError: SF604, there is no such device, or fewer than processes.
    """
    run = settings["run"]
    assert isinstance(run, dict)
    wanted = run["device"]
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EnvironmentFaultError(
            "SF604", "torch finds no CUDA device on this machine", help='write `device = "auto"` or `"cpu"` in [run]'
        )
    if rank >= torch.cuda.device_count():
        raise EnvironmentFaultError(
            "SF604",
            f"process {rank} has no CUDA device: torch finds {torch.cuda.device_count()}",
            help="lower `run.devices`",
        )
    return torch.device("cuda", rank)
