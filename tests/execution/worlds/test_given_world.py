"""What torchrun's and srun's variables say of a world."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specforge.execution.worlds.given import first_node, given_world
from specforge.foundation.errors import EnvironmentFaultError

# as torchrun sets them: torch/distributed/elastic/agent/server/local_elastic_agent.py
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29400",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "TORCHELASTIC_RESTART_COUNT": "2",
}

# as srun(1) lists them under "output environment variables", for five tasks on nodes with two, two and one
SRUN = {
    "SLURM_JOB_ID": "71003",
    "SLURM_STEP_ID": "2",
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "5",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "gpu[03-05]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}


def test_torchrun_says_rank_world_and_where_its_store_is() -> None:
    world = given_world({**TORCHRUN, **SRUN})  # a torchrun inside of a Slurm job

    assert world is not None
    assert ("torchrun", 3, 4, 1, 2) == (world.launcher, world.rank, world.size, world.local_rank, world.local_size)
    assert ("node1:29400", True, 2) == (world.master, world.served, world.restart)


def test_srun_says_them_in_its_own_words() -> None:
    world = given_world(SRUN)

    assert world is not None
    assert ("srun", 3, 5, 1, 2) == (world.launcher, world.rank, world.size, world.local_rank, world.local_size)
    assert ("gpu03", False) == (world.host, world.served)
    assert 1 == getattr(given_world({**SRUN, "SLURM_NODEID": "2"}), "local_size", None)


def test_steps_and_jobs_meet_at_ports_of_their_own_unless_one_is_named() -> None:
    ports = {
        getattr(given_world({**SRUN, "SLURM_JOB_ID": job, "SLURM_STEP_ID": step}), "port", None)
        for job in ("71003", "71004")
        for step in ("0", "1")
    }

    assert 4 == len(ports)
    chosen = given_world({**SRUN, "MASTER_PORT": "12345", "MASTER_ADDR": "10.0.0.7"})
    assert chosen is not None
    assert "10.0.0.7:12345" == chosen.master


def test_a_task_that_sees_one_device_takes_that_one() -> None:
    alone, shared = (given_world({**SRUN, "CUDA_VISIBLE_DEVICES": devices}) for devices in ("5", "4,5"))

    assert alone is not None
    assert shared is not None
    assert (0, 1) == (alone.device, shared.device)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WORLD_SIZE": "4"},  # some images set it for good
        {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"},
        {key: value for key, value in SRUN.items() if "STEP" not in key},  # a batch script outside of srun
    ],
)
def test_without_a_world_of_several_there_is_none(environment: dict[str, str]) -> None:
    assert given_world(environment) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": "many"}, "MASTER_PORT is no number: `many`"),
        ({"RANK": "4"}, "rank 4 does not exist among 4"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK is not set"),
    ],
)
def test_half_a_world_is_refused_by_name(change: dict[str, str], expected: str) -> None:
    with pytest.raises(EnvironmentFaultError) as caught:
        given_world({**TORCHRUN, **change})

    assert "SF666" == caught.value.code
    assert caught.value.message.endswith(expected)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu03", "gpu03"), ("gpu[03-05,9],login", "gpu03"), ("a1,a2", "a1"), ("rack[1-2]-n", "rack1-n"), ("n[7]", "n7")],
)
def test_the_first_node_of_a_list(nodes: str, first: str) -> None:
    assert first == first_node(nodes)


@given(st.lists(st.integers(1, 99), min_size=1, max_size=4), st.integers(2, 4))
def test_the_first_node_is_that_of_the_list_written_out(numbers: list[int], digits: int) -> None:
    names = [f"{number:0{digits}}" for number in numbers]

    assert (
        f"node{names[0]}" == first_node(f"node[{','.join(names)}]") == first_node(",".join(f"node{n}" for n in names))
    )
