"""`--verify-inputs`: what is remembered of data files is not believed."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small_experiment import SmallExperiment

from specforge.cli.main import main
from specforge.foundation.errors import ExitCode


def digests(capsys: pytest.CaptureFixture[str], *words: str) -> set[str]:
    """Return the digests that `plan` names."""
    assert ExitCode.DONE == main(["plan", "small.toml", "--no-estimates", "--json", *words])
    steps = json.loads(capsys.readouterr().out)["steps"]
    return {file["digest"] for step in steps for file in step["inputs"]}


def test_a_wrong_memory_is_found_out(
    small: SmallExperiment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del small
    monkeypatch.setattr("specforge.storage.digests._RACY_NS", -(10**15))  # files just written are remembered
    right = digests(capsys)
    memory = Path(os.environ["XDG_CACHE_HOME"]) / "specforge" / "digests.sqlite3"
    with closing(sqlite3.connect(memory, isolation_level=None)) as connection:
        connection.execute("UPDATE files SET digest = 'wrong'")

    assert {"wrong"} == digests(capsys)
    assert right == digests(capsys, "--verify-inputs")
    assert right == digests(capsys)


def test_a_plan_file_is_verified_too(
    small: SmallExperiment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del small
    monkeypatch.setattr("specforge.storage.digests._RACY_NS", -(10**15))
    assert ExitCode.DONE == main(["plan", "small.toml", "--no-estimates", "-o", "plan.json"])
    memory = Path(os.environ["XDG_CACHE_HOME"]) / "specforge" / "digests.sqlite3"
    with closing(sqlite3.connect(memory, isolation_level=None)) as connection:
        connection.execute("UPDATE files SET digest = 'wrong'")

    assert ExitCode.REFUSED == main(["plan", "plan.json", "--no-estimates"])
    assert ExitCode.DONE == main(["plan", "plan.json", "--no-estimates", "--verify-inputs"])
    assert "SF653" in capsys.readouterr().err
