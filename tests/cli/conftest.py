"""A shell in the folder of the small experiment."""

from __future__ import annotations

import functools

import pytest
from shell import FAKE, Shell
from small_experiment import SmallExperiment

from specforge.execution import runner


@pytest.fixture
def shell(small: SmallExperiment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    del small  # it makes the folder
    monkeypatch.setattr(runner, "Options", functools.partial(runner.Options, command=FAKE))
    return Shell(capsys)
