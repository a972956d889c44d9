"""Commands in the folder of the small experiment, with workers that have no engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from specforge.cli.main import main

FAKE = (sys.executable, str(Path(__file__).parent.parent / "execution" / "fake_worker.py"))


class Shell:
    """Runs commands in the folder of the small experiment, with workers that have no engine."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.errors = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run a command, check its exit code, keep what it says and return its result."""
        self._capture.readouterr()
        found = main(list(words))
        said = self._capture.readouterr()
        self.errors = said.err
        assert code == found, said.err
        return said.out

    def plan(self, *words: str) -> None:
        """Write plan.json."""
        self("plan", "small.toml", "--no-estimates", "-o", "plan.json", *words)

    def steps(self, *words: str) -> dict[str, tuple[str, str]]:
        """Return key and state of each step of a plan."""
        document: dict[str, Any] = json.loads(self("plan", *words, "--no-estimates", "--json"))
        return {step["id"]: (step["key"], step["state"]) for step in document["steps"]}
