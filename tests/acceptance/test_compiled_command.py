"""Compiled layers as a user meets them: trained, gone on with without the compiler, and without one that works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.foundation.errors import ExitCode

pytestmark = pytest.mark.slow  # a compiler takes its time


@pytest.fixture
def experiment(tmp_path: Path) -> SmallExperiment:
    experiment = SmallExperiment(tmp_path)
    experiment.write_spec(SMALL_SPEC)
    return experiment


def _run(
    experiment: SmallExperiment, *assignments: str, compiler: str | None = None
) -> subprocess.CompletedProcess[str]:
    changes = [word for assignment in assignments for word in ("--set", assignment)]
    return subprocess.run(
        [sys.executable, "-m", "specforge", "run", "small.toml", "--until", "train", *changes],
        env={**os.environ, "TMPDIR": str(experiment.folder), **({} if compiler is None else {"CXX": compiler})},
        cwd=experiment.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_was_compiled_goes_on_as_it_is(experiment: SmallExperiment) -> None:
    compiled = _run(experiment, "run.compile=true")
    further = _run(experiment, "train.max_updates=6")

    assert [0, 0] == [compiled.returncode, further.returncode], compiled.stderr + further.stderr
    assert "layers are compiled when they first compute" in compiled.stderr
    assert "training goes on after 4 updates" in further.stderr
    assert "other kernels than before: results may differ in the last bits" in further.stderr
    assert not list(experiment.folder.glob("*specforge-compiled*"))


def test_a_compiler_that_is_missing_is_told(experiment: SmallExperiment) -> None:
    done = _run(experiment, "run.compile=true", compiler="/nonexistent/compiler")

    assert ExitCode.ENVIRONMENT == done.returncode
    assert "error[SF685]: PyTorch cannot compile the model's layers here" in done.stderr
    assert "/nonexistent/compiler" in done.stderr
    assert "Traceback" not in done.stderr
