"""`specforge run` on a sweep, with workers that have no engine: the table, the exit code, and several processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

PROGRAM = Path(__file__).with_name("with_fake_worker.py")
SWEEP = """
[sweep.grid]
optimizer.lr = [0.1, 0.2]
train.max_updates = [4, 5]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SmallExperiment(tmp_path).write_spec(SMALL_SPEC + SWEEP, "sweep.toml")
    return tmp_path


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start `specforge run` on the sweep."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), "run", "sweep.toml", "--store", "store", *words],
        cwd=folder,
        env={**os.environ, "FAKE_LOG": str(folder / "jobs"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """Run it to its end and return exit code and what it printed."""
    process = start(folder, *words, **environment)
    printed, said = process.communicate(timeout=60)
    return process.returncode, printed, said


def jobs(folder: Path, kind: str) -> int:
    """Return how many jobs of a kind were started so far."""
    return sum(json.loads(line)["kind"] == kind for line in (folder / "jobs").read_text().rstrip("\n").split("\n"))


def test_the_table_is_printed_and_a_second_run_prints_it_again(folder: Path) -> None:
    code, printed, said = run(folder)

    assert 0 == code, said
    table, rest = printed.lstrip("\n").split("\n\n", 1)
    assert [
        "point   lr    max_updates   bleu",
        "1       0.1   4             50.00",
        "2       0.1   5             50.00",
        "3       0.2   4             50.00",
        "4       0.2   5             50.00",
    ] == table.split("\n")
    assert f"sweep   {folder / 'store' / 'runs' / 'sweep' / 'sweep.json'}\n" == rest
    assert "point 2 of 4   optimizer.lr = 0.1, train.max_updates = 5\n" in said

    again = run(folder)

    assert (0, printed) == again[:2]
    assert 4 == again[2].count("   reuse\n") == again[2].count("\n")


def test_the_first_failure_gives_the_exit_code_after_all_points_have_run(folder: Path) -> None:
    code, printed, said = run(folder, FAKE_TRAIN='picky:"lr": 0.1', FAKE_SCORE="wrong")

    assert 6 == code, said
    assert ["failed: SF633"] * 2 + ["failed: SF504"] * 2 == [
        line.split("   ")[-1].strip() for line in printed.strip("\n").split("\n")[1:5]
    ]
    assert "4 of 4 points failed: 1, 2, 3 and 1 more\n" in said


def test_a_shared_step_that_fails_is_tried_once_and_told_once(folder: Path) -> None:
    code, _, said = run(folder, FAKE_PREPROCESS="wrong")

    assert 2 == code
    assert 1 == jobs(folder, "preprocess")
    assert 1 == said.count("error[SF504]: nothing is left\n")
    assert 3 == said.count("  failed with point 1: SF504, nothing is left\n")


def test_one_point_is_run_as_a_spec_of_its_own(folder: Path) -> None:
    code, printed, said = run(folder, "--point", "3")

    assert 0 == code, said
    assert "test   bleu   50.00" in printed
    runs = folder / "store" / "runs"
    assert ["sweep.lr-0.2.max_updates-4"] == [path.name for path in runs.iterdir()]
    assert 1 == jobs(folder, "train")


def test_points_that_run_at_once_make_what_they_share_once(folder: Path) -> None:
    processes = [start(folder, "--point", str(number), FAKE_SECONDS="0.1") for number in (1, 3)]
    processes.append(start(folder, FAKE_SECONDS="0.1"))

    for process in processes:
        _, said = process.communicate(timeout=60)
        assert 0 == process.returncode, said
    assert 1 == jobs(folder, "preprocess")
    assert 4 == jobs(folder, "train")


def test_steps_are_forced_and_left_out_by_name(folder: Path) -> None:
    code, printed, said = run(folder, "--until", "train")

    assert 0 == code, said
    assert "1       0.1   4             done" in printed
    assert 4 == jobs(folder, "train")
    assert 0 == jobs(folder, "generate")
    assert 2 == run(folder, "--force", "trian")[0]
    assert 0 == run(folder, "--until", "train", "--force", "preprocess")[0]
    assert 2 == jobs(folder, "preprocess")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_all_points(folder: Path, number: int, code: int) -> None:
    process = start(folder, FAKE_TRAIN="stopped:0")
    assert process.stderr is not None
    assert any("train: ready" in line for line in process.stderr)  # the worker listens

    process.send_signal(number)
    _, said = process.communicate(timeout=30)

    assert code == process.returncode, said
    assert 1 == jobs(folder, "train")
    states = [point["state"] for point in json.loads((folder / "store/runs/sweep/sweep.json").read_text())["points"]]
    assert ["waiting"] * 4 == states
