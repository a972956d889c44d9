"""A training of two processes on the command line, for tests of what happens to them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from digits import copy, write_split

FAULTS: Final = Path(__file__).parent / "faults"
BUDGET: Final = 60

SPEC: Final = f"""
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
checkpoint_every = "10 updates"

[run]
log_every = 1
devices = 2
max_tokens = 128
"""

COMMAND: Final = (sys.executable, "-m", "specforge", "run", "ranks.toml", "--until", "train")


def write_experiment(folder: Path) -> None:
    """Write data and `ranks.toml`."""
    write_split(folder, "train", 600, 10, copy, 1)
    write_split(folder, "valid", 30, 0, copy, 2)
    (folder / "ranks.toml").write_text(SPEC)


class Run:
    """A command that trains, in a process of its own.

    Args:
        folder: with the experiment.
        store: name of its store.
        words: of the command, beside the store.
        environment: variables beside ours.
        timeout: `run.hang_timeout`.
    """

    def __init__(
        self,
        folder: Path,
        store: str,
        words: Sequence[str] = COMMAND,
        environment: Mapping[str, str] | None = None,
        timeout: int = 60,
    ) -> None:
        self.store = folder / store
        self._process = subprocess.Popen(
            [*words, "--store", store, "--set", f"run.hang_timeout={timeout}"],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(FAULTS), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def updates(self) -> list[int]:
        """Return the numbers of the updates done, over all attempts."""
        log = self.store / "runs" / "ranks" / "logs" / "train.jsonl"
        lines = log.read_text().split("\n") if log.exists() else []
        return [json.loads(line)["updates"] for line in lines if '"event": "train"' in line and line.endswith("}")]

    def wait_for(self, updates: int) -> None:
        """Wait until so many updates are done."""
        while len(self.updates()) < updates:
            assert self._process.poll() is None, self._process.communicate()[1]
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """Return the processes of the ranks that this process started, by rank."""
        return [child for child in _children(self.pid) if b"specforge.steps.worker" in _command(child)]

    def end(self) -> tuple[int, str]:
        """Wait for the end, and return exit code and what was said."""
        _, said = self._process.communicate()
        return self._process.returncode, said

    def weights(self) -> str:
        """SHA-256 of the last weights."""
        (path,) = (self.store / "objects" / "train").glob("*/last/model.safetensors")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def tree(self) -> Iterator[int]:
        """Yield this process and all that it started."""
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            waiting += _children(pid)


def gone(pid: int) -> bool:
    """Return whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def becomes(what: Callable[[], bool], seconds: float) -> bool:
    """Return whether something comes true within some seconds."""
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()
        ]
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def listeners(pids: Iterator[int]) -> set[str]:
    """Return the addresses, in /proc's hexadecimal, that some processes listen on."""
    sockets: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().split("\n")[1:]:
            words = line.split()
            if words[3:4] == ["0A"]:  # TCP_LISTEN of net/tcp_states.h
                sockets[f"socket:[{words[9]}]"] = words[1].partition(":")[0]
    found = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                found.add(sockets[str(descriptor.readlink())])
            except (OSError, KeyError):
                continue
    return found
