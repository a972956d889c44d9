"""What all tests share: a user without a past, and a small experiment on disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Before anything imports torch, as for our workers: spinning threads make tests crawl on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from small_experiment import SmallExperiment

# A suite that is started in the background inherits ignored signals, and so would the commands that it sends them to.
for _number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _user_without_a_past(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's own cache and store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("SPECFORGE_STORE", raising=False)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallExperiment:
    """A small experiment in the test's own folder, which is also the working directory (`--set` paths start there)."""
    monkeypatch.chdir(tmp_path)
    return SmallExperiment(tmp_path)
