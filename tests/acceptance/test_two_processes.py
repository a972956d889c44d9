"""Two processes that `run.devices` starts, as a user has them: the same training as one, and stopped together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.training.weights import read_weights

# Four items of three tokens make two micro-batches of an update. The fifth makes one, which leaves a process without work.
SPEC = (
    SMALL_SPEC
    + """
[optimizer]
use = "nag"
lr = 0.1
momentum = 0.5

[lr_scheduler]
use = "fixed"

[run]
log_every = 1
max_tokens = 6
"""
)


def _updates(store: Path) -> list[dict[str, Any]]:
    """Return the records of all updates, over all attempts."""
    log = store / "runs" / "small" / "logs" / "train.jsonl"
    lines = log.read_text().split("\n") if log.exists() else []
    return [json.loads(line) for line in lines if '"event": "train"' in line]


def test_two_processes_train_what_one_trains(small: SmallExperiment) -> None:
    small.write_spec(SPEC)
    for devices in (1, 2):
        result = specforge(
            *("run", "small.toml", "--until", "train", "--store", f"store{devices}"),
            *("--set", f"run.devices={devices}"),
            cwd=small.folder,
        )
        assert result.returncode == 0, result.stderr

    one, two = (small.folder / f"store{devices}" for devices in (1, 2))
    losses = [[record["loss"] for record in _updates(store)] for store in (one, two)]
    assert 4 == len(losses[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert max(losses[0]) - min(losses[0]) > 0.01, "equal losses say nothing of weights that stand still"
    expected, found = (
        read_weights(next((store / "objects" / "train").glob("*/last/*.safetensors"))) for store in (one, two)
    )
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc names the children of a process")
def test_a_sigterm_to_every_process_at_once_saves_the_state(small: SmallExperiment) -> None:
    # so does a batch system, and the runner passes its own signal on: each worker gets two
    small.write_spec(SPEC.replace("max_updates = 4", "max_updates = 100_000"))
    command = ["run", "small.toml", "--until", "train", "--store", "store", "--set", "run.devices=2"]
    run = subprocess.Popen(
        [sys.executable, "-m", "specforge", *command],
        cwd=small.folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(_updates(small.folder / "store")) < 5:
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    workers = [pid for path in Path(f"/proc/{run.pid}/task").glob("*/children") for pid in path.read_text().split()]
    for pid in (*map(int, workers), run.pid):
        os.kill(pid, signal.SIGTERM)
    _, err = run.communicate()

    assert 2 == len(workers)
    assert (143, True) == (run.returncode, "the state is saved" in err), err
    reached = _updates(small.folder / "store")[-1]["updates"]
    finish = specforge(*command, "--set", f"train.max_updates={reached + 2}", cwd=small.folder)
    assert finish.returncode == 0, finish.stderr
    done = [record["updates"] for record in _updates(small.folder / "store")]
    assert list(range(1, reached + 3)) == done, "no update is done twice"
