"""The world that a launcher gives: torchrun and srun tell each process its rank in variables.

Of torchrun: https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables. Of srun: srun(1), output environment
variables; those of the step are used, since in a batch script outside of srun the job's are set too.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from specforge.foundation.errors import EnvironmentFaultError

_FIRST_PORT: Final = 20_000
_PORTS: Final = 40_000
_NODE_LIST: Final = re.compile(r"([^,\[]+)(?:\[(\d+)[^\]]*\])?([^,\[]*)")


@dataclass(frozen=True, slots=True)
class GivenWorld:
    """This process among those that a launcher started.

    Args:
        launcher: who started them.
        rank, size: number of this process and of all.
        local_rank: number of this process on its machine.
        local_size: how many of them are on its machine.
        host, port: where the store is served through which they find each other.
        served: whether the launcher serves it; else the process of rank 0 does.
        restart: how often the launcher has started them before.
        own_device: whether the launcher shows each process its own device alone.
    """

    launcher: Literal["torchrun", "srun"]
    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    port: int
    served: bool = False
    restart: int = 0
    own_device: bool = False

    @property
    def master(self) -> str:
        """Where the store is served, as `host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def device(self) -> int:
        """Number of this process's device among those that it sees."""
        return 0 if self.own_device else self.local_rank


def given_world(environment: Mapping[str, str]) -> GivenWorld | None:
    """Return the world that a launcher gives, or None where there is none, or one of a single process.

    Raises:
        EnvironmentFaultError: SF666, the variables do not say one.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        world = _of_torchrun(environment)
    elif "SLURM_PROCID" in environment and "SLURM_STEP_NODELIST" in environment:
        world = _of_srun(environment)
    else:
        return None
    if not 0 <= world.rank < world.size:
        _refuse(f"rank {world.rank} does not exist among {world.size}")
    return world if world.size > 1 else None


def _of_torchrun(environment: Mapping[str, str]) -> GivenWorld:
    return GivenWorld(
        "torchrun",
        rank=_number(environment, "RANK"),
        size=_number(environment, "WORLD_SIZE"),
        local_rank=_number(environment, "LOCAL_RANK"),
        local_size=_number(environment, "LOCAL_WORLD_SIZE", 1),
        host=_text(environment, "MASTER_ADDR"),
        port=_number(environment, "MASTER_PORT"),
        served=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        restart=_number(environment, "TORCHELASTIC_RESTART_COUNT", 0),
    )


def _of_srun(environment: Mapping[str, str]) -> GivenWorld:
    size = _number(environment, "SLURM_STEP_NUM_TASKS", _number(environment, "SLURM_NTASKS", 1))
    # Two steps of one job get ports of their own too.
    steps = 1_000 * _number(environment, "SLURM_JOB_ID", 0) + _number(environment, "SLURM_STEP_ID", 0)
    devices = environment.get("CUDA_VISIBLE_DEVICES", "")
    return GivenWorld(
        "srun",
        rank=_number(environment, "SLURM_PROCID"),
        size=size,
        local_rank=_number(environment, "SLURM_LOCALID"),
        local_size=_tasks_here(environment),
        host=environment.get("MASTER_ADDR") or first_node(environment["SLURM_STEP_NODELIST"]),
        port=_number(environment, "MASTER_PORT", _FIRST_PORT + steps % _PORTS),
        restart=_number(environment, "SLURM_RESTART_COUNT", 0),
        own_device=bool(devices) and "," not in devices,
    )


def first_node(nodes: str) -> str:
    """Return the first of Slurm's list of nodes: `gpu[03-05,9],login` begins with `gpu03`."""
    found = _NODE_LIST.match(nodes)
    if found is None:
        _refuse(f"SLURM_STEP_NODELIST names no node: `{nodes}`")
    return "".join(part or "" for part in found.groups())


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Return how many tasks Slurm runs on this node: `2(x3),1` are three nodes with two and one with one."""
    listed = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    counts = [
        int(count) for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", listed) for _ in range(int(times or 1))
    ]
    node = _number(environment, "SLURM_NODEID", 0)
    return counts[node] if node < len(counts) else 1


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    if default is not None and not environment.get(name):
        return default
    text = _text(environment, name)
    if not text.isdecimal():
        _refuse(f"{name} is no number: `{text}`")
    return int(text)


def _text(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "")
    if not text:
        _refuse(f"{name} is not set")
    return text


def _refuse(what: str) -> NoReturn:
    raise EnvironmentFaultError(
        "SF666",
        f"a launcher's variables are set, and {what}",
        help="start it with torchrun or srun, or unset RANK, WORLD_SIZE and SLURM_PROCID to train on this machine alone",
    )


def this_host() -> str:
    """Return this machine's name, for messages."""
    return socket.gethostname()
