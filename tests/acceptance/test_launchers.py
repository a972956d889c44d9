"""The same training when torchrun or srun starts the processes: on one machine, and on two."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from ranks import COMMAND, Run, becomes, gone, listeners, write_experiment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of processes")

MODULE = ("-m", *COMMAND[2:])


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launched")
    write_experiment(folder)
    return folder


@pytest.fixture(scope="module")
def expected(experiment: Path) -> str:
    """SHA-256 of the last weights that two processes come to which the run starts itself."""
    run = Run(experiment, "own")
    code, said = run.end()
    assert code == 0, said
    return run.weights()


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def torchrun(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "torch.distributed.run", "--rdzv-backend", "c10d", *words, *MODULE)


def srun(rank: int, job: int) -> Mapping[str, str]:
    """What srun sets for the tasks of a step on this machine."""
    return {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }


def ended(runs: Sequence[Run]) -> tuple[list[int], list[str]]:
    codes, said = zip(*(run.end() for run in runs), strict=True)
    return list(codes), list(said)


def srun_step(experiment: Path, store: str, *, timeout: int = 60, words: Sequence[str] = COMMAND) -> list[Run]:
    return [Run(experiment, store, words, srun(rank, os.getpid()), timeout) for rank in range(2)]


def test_two_torchrun_agents_train_what_a_run_of_its_own_trains(experiment: Path, expected: str) -> None:
    words = torchrun("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-endpoint", f"127.0.0.1:{free_port()}")
    agents = [Run(experiment, "torchrun", words) for _ in range(2)]
    codes, said = ended(agents)

    assert [0, 0] == codes, said
    assert 1 == sum("training with the 2 processes that torchrun started" in text for text in said), (
        "rank 0 speaks alone"
    )
    assert 1 == sum("done" in text for text in said)
    assert expected == agents[0].weights()


@pytest.mark.slow
def test_the_tasks_of_srun_train_what_a_run_of_its_own_trains(experiment: Path, expected: str) -> None:
    tasks = srun_step(experiment, "srun")
    tasks[0].wait_for(5)
    heard = listeners(pid for task in tasks for pid in task.tree())
    codes, said = ended(tasks)

    assert [0, 0] == codes, said
    assert heard <= {"0100007F", "0" * 24 + "01000000"}, "the store listens at the master's address and no other"
    assert "" == said[1]
    assert expected == tasks[0].weights()


def test_an_error_ends_all_tasks_with_its_exit_code(experiment: Path) -> None:
    tasks = srun_step(experiment, "wrong", words=(*COMMAND, "--set", "train.batch_tokens=2"))
    codes, said = ended(tasks)

    assert [2, 2] == codes, said
    assert "error[SF5" in said[0]
    assert "" == said[1]


@pytest.mark.slow
def test_a_worker_of_another_task_that_dies_is_named_and_replaced(experiment: Path, expected: str) -> None:
    tasks = srun_step(experiment, "killed")
    tasks[0].wait_for(25)
    os.kill(tasks[1].workers()[0], signal.SIGKILL)
    codes, said = ended(tasks)

    assert [0, 0] == codes, said
    assert f"rank 1 of 2 (on {socket.gethostname()}) was killed by SIGKILL; training goes on from update" in said[0]
    assert expected == tasks[0].weights()


@pytest.mark.slow
def test_a_worker_of_another_task_that_hangs_is_named_and_replaced(experiment: Path, expected: str) -> None:
    tasks = srun_step(experiment, "hung", timeout=10)
    tasks[0].wait_for(25)
    os.kill(tasks[1].workers()[0], signal.SIGSTOP)
    codes, said = ended(tasks)

    assert [0, 0] == codes, said
    assert "1 of 2 hung: " in said[0]
    assert expected == tasks[0].weights()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_task_that_is_gone_ends_the_other(experiment: Path, rank: int) -> None:
    tasks = srun_step(experiment, f"gone{rank}")
    tasks[0].wait_for(5)
    started = [pid for task in tasks for pid in task.tree()]
    os.kill(tasks[rank].pid, signal.SIGKILL)
    codes, said = ended(tasks)

    assert (-9, 6) == (codes[rank], codes[1 - rank]), said
    assert "error[SF667]" in said[1 - rank]
    assert becomes(lambda: all(map(gone, started)), 10)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them: as good as two machines. Their addresses are 10.97.0.1 and .2."""
    names = (f"specforge-{os.getpid()}-a", f"specforge-{os.getpid()}-b")
    if shutil.which("ip") is None or _ip("netns", "add", names[0]) != 0:
        pytest.skip("needs `ip` and the right to make network namespaces")
    try:
        _ip("netns", "add", names[1])
        _ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for number, name in enumerate(names, start=1):
            _ip("-n", name, "addr", "add", f"10.97.0.{number}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names:
            _ip("netns", "del", name)


def _ip(*words: str) -> int:
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode


@pytest.mark.slow
def test_two_hosts_train_what_one_trains(experiment: Path, expected: str, hosts: tuple[str, str]) -> None:
    given = {"MASTER_ADDR": "10.97.0.1", "MASTER_PORT": "29431", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    processes = [
        Run(experiment, "hosts", ("ip", "netns", "exec", host, *COMMAND), {**given, "RANK": str(rank)})
        for rank, host in enumerate(hosts)
    ]
    codes, said = ended(processes)

    assert [0, 0] == codes, said
    assert expected == processes[0].weights()
