"""kill -9 in the middle of training and of publishing, then the same command again: same final weights, bit for bit.

The rerun goes on from a checkpoint: the updates done over all attempts are counted from the log.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from digits import copy, specforge, write_split

BUDGET = 120
INTERVAL = 10
FAULTS = Path(__file__).parent / "faults"

SPEC = f"""
specforge = 1
task = {{ use = "translation", source = "src", target = "tgt" }}
data = {{ train = "train", valid = "valid" }}
tokenizer = "whitespace"
preprocess = {{ joined_dictionary = true }}
optimizer = {{ use = "adam", lr = 1e-3 }}
lr_scheduler = {{ use = "inverse_sqrt", warmup_updates = 20 }}
model = {{ use = "transformer_tiny", dropout = 0.2, share_embeddings = "all" }}

[train]
max_updates = {BUDGET}
batch_tokens = 200
validate_every = "25 updates"
checkpoint_every = "{INTERVAL} updates"

[run]
log_every = 1
max_restarts = 0  # a killed worker ends the command
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_split(folder, "train", 1_500, 10, copy, 1)
    write_split(folder, "valid", 50, 0, copy, 2)
    (folder / "kill.toml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(experiment: Path) -> dict[str, str]:
    """Digests of the weights that a run without faults ends with."""
    result = specforge("run", "kill.toml", "--store", "calm", cwd=experiment)

    assert result.returncode == 0, result.stderr
    return weights(experiment / "calm")


def weights(store: Path) -> dict[str, str]:
    """SHA-256 of each published set of weights, by the folder's name."""
    (result,) = (store / "objects" / "train").iterdir()
    return {
        name: hashlib.sha256((result / name / "model.safetensors").read_bytes()).hexdigest()
        for name in ("best", "last", "average")
    }


def updates_done(store: Path) -> int:
    """Updates over all attempts: every update leaves one record, and attempts append to the same log."""
    text = (store / "runs" / "kill" / "logs" / "train.jsonl").read_text()
    return sum(json.loads(line)["event"] == "train" for line in text.split("\n") if line)


@pytest.mark.parametrize(
    ("event", "substring", "count"),
    [
        pytest.param("os.rename", "/checkpoints/", 4, id="publishing-a-checkpoint"),
        pytest.param("open", "optimizer.safetensors", 6, id="writing-a-checkpoint"),
        pytest.param("os.rename", "/validated/", 3, id="publishing-validated-weights"),
        pytest.param("os.rename", "/objects/train/", 1, id="publishing-the-result"),
    ],
)
def test_killed_while_publishing(
    experiment: Path, uninterrupted: dict[str, str], tmp_path: Path, event: str, substring: str, count: int
) -> None:
    marker = tmp_path / "fired"
    faulty = {
        "PYTHONPATH": os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "SPECFORGE_TEST_KILL": f"{event} {substring} {count} {marker}",
    }
    store = tmp_path / "store"

    killed = specforge("run", "kill.toml", "--store", store, cwd=experiment, environment=faulty)
    rerun = specforge("run", "kill.toml", "--store", store, cwd=experiment)

    assert marker.exists(), killed.stderr
    assert killed.returncode != 0
    assert rerun.returncode == 0, rerun.stderr
    assert uninterrupted == weights(store)
    assert BUDGET <= updates_done(store) <= BUDGET + INTERVAL


def test_killed_in_the_middle_of_training_again_and_again(
    experiment: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    kills = 0
    for updates in (15, 47, 90):
        kills += kill_after(experiment, store, updates)

    rerun = specforge("run", "kill.toml", "--store", store, cwd=experiment)

    assert kills == 3
    assert rerun.returncode == 0, rerun.stderr
    assert uninterrupted == weights(store)
    # each kill costs at most one interval, plus the updates whose records the kill kept from the log
    assert BUDGET - kills <= updates_done(store) <= BUDGET + kills * (INTERVAL + 1)


def kill_after(experiment: Path, store: Path, updates: int) -> int:
    """Start a run, kill it when this many updates are in the log, and return how many runs were killed."""
    log = store / "runs" / "kill" / "logs" / "train.jsonl"
    run = subprocess.Popen(
        [sys.executable, "-m", "specforge", "run", "kill.toml", "--store", str(store)],
        cwd=experiment,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while run.poll() is None and time.monotonic() < deadline:
        if log.exists() and f'"updates": {updates}' in log.read_text():
            run.send_signal(signal.SIGKILL)
            run.wait()
            return 1
        time.sleep(0.01)
    run.kill()
    run.wait()
    return 0
