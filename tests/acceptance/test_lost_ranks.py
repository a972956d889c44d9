"""Ranks that die, hang or fail alone while two train: the rest is ended, the rank is named, and training goes on or not."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from ranks import BUDGET, Run, becomes, gone, listeners, write_experiment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of processes and what they listen on")

LOOPBACK = {"0100007F", "0" * 24 + "01000000"}  # 127.0.0.1 and ::1 as /proc writes them


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    write_experiment(folder)
    return folder


@pytest.fixture(scope="module")
def calm(experiment: Path) -> Run:
    """A run that nothing happens to; what it listens on is looked at on the way."""
    run = Run(experiment, "calm")
    heard: set[str] = set()
    while len(run.updates()) < BUDGET // 2:
        heard |= listeners(run.tree())
    code, said = run.end()
    assert code == 0, said
    assert heard, "nothing listened at all: the test looks at the wrong processes"
    assert heard <= LOOPBACK
    return run


def test_nothing_listens_but_on_loopback_and_a_killed_rank_costs_no_bit(experiment: Path, calm: Run) -> None:
    run = Run(experiment, "killed")
    run.wait_for(25)
    first, second = run.workers()
    os.kill(second, signal.SIGKILL)
    assert becomes(lambda: gone(first), 10), "the other rank goes on alone"
    code, said = run.end()

    assert code == 0, said
    assert "rank 1 of 2 was killed by SIGKILL; training goes on from update" in said
    assert "(restart 1 of 3)" in said
    assert calm.weights() == run.weights()
    assert len(run.updates()) <= BUDGET + 10, "more was done again than lies between two checkpoints"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "how"),
    [
        (signal.SIGSTOP, "a signal has stopped it"),
        (signal.SIGUSR2, "nothing has moved"),
        (signal.SIGALRM, "nothing has moved"),
    ],
    ids=["stopped", "holding the lock of the interpreter", "waiting for its data"],
)
def test_a_rank_that_hangs_is_found_and_training_goes_on(
    experiment: Path, calm: Run, number: signal.Signals, how: str
) -> None:
    run = Run(experiment, number.name, environment={"SPECFORGE_TEST_HANG": "1"}, timeout=10)
    run.wait_for(25)
    ranks = run.workers()
    os.kill(ranks[1], number)
    found = becomes(lambda: all(map(gone, ranks)), 10 + 5 + 10)  # the last ten are for a busy machine
    code, said = run.end()

    assert (True, 0) == (found, code), said
    assert f"1 of 2 hung: {how}" in said  # or both, where one stopped in the middle of an exchange
    assert "(restart 1 of 3)" in said
    stacks = (run.store / "runs" / "ranks" / "logs" / "train.stacks").read_text()
    assert all(f"rank {rank}:\n" in stacks for rank in range(2))
    assert all('File "' in part for part in stacks.split("rank 1:")), "each shows where it is"
    assert calm.weights() == run.weights()


def test_a_killed_supervisor_leaves_no_process_and_no_lock(experiment: Path, calm: Run) -> None:
    run = Run(experiment, "orphaned")
    run.wait_for(15)
    started = list(run.tree())
    os.kill(run.pid, signal.SIGKILL)
    run.end()

    assert 3 <= len(started)
    assert becomes(lambda: all(map(gone, started)), 5 + 10)
    again = Run(experiment, "orphaned")
    code, said = again.end()
    assert code == 0, said
    assert "waiting" not in said
    assert calm.weights() == again.weights()
    assert len(again.updates()) <= BUDGET + 10


@pytest.mark.parametrize(
    ("place", "code", "expected"),
    [
        ("os.rename /checkpoints/ 1 OSError", 4, "SF60"),
        pytest.param("os.rename /validated/ 1 RuntimeError", 6, "SF632", marks=pytest.mark.slow),
        pytest.param("open result/best/model.safetensors 1 RuntimeError", 6, "SF632", marks=pytest.mark.slow),
    ],
    ids=["save", "validate", "publish"],
)
def test_what_fails_on_rank_0_alone_ends_all(experiment: Path, place: str, code: int, expected: str) -> None:
    name = place.split("/")[1]
    marker = experiment / f"fired-{name}"
    run = Run(experiment, f"without-{name[:4]}", environment={"SPECFORGE_TEST_RAISE": f"{place} {marker}"})
    run.wait_for(1)
    ranks = run.workers()
    found, said = run.end()

    assert marker.exists(), "the fault did not fire"
    assert (code, True) == (found, f"error[{expected}" in said), said
    assert "restart" not in said
    assert all(map(gone, ranks))
