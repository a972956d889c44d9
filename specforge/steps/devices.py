"""Where a step computes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import JsonValue

from specforge.foundation.errors import EnvironmentFaultError
from specforge.language.schema.run import RunSection


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


def several_gpus(settings: Mapping[str, JsonValue]) -> list[torch.device]:
    """Return the GPUs that share what one could do alone: as many as `run.devices`, or as there are; empty for one, or for CPUs.

    Raises:
        EnvironmentFaultError: SF604, there is no such device.
    """
    devices = RunSection.model_validate(settings["run"]).devices
    if devices == 1 or chosen_device(settings).type == "cpu":
        return []
    found = min(devices, torch.cuda.device_count())
    return [chosen_device(settings, rank) for rank in range(found)] if found > 1 else []
