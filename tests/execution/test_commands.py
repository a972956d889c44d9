"""Runs as processes, with fake workers: two at once, signals, kills, full and closed disks."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_experiment import SmallExperiment

from specforge.foundation import durable
from specforge.foundation.errors import ExitCode

PROGRAM = str(Path(__file__).with_name("with_fake_worker.py"))


class User:
    """Types commands in the folder of a small experiment."""

    def __init__(self, small: SmallExperiment) -> None:
        self.folder = small.folder
        self.store = small.folder / "store"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str, limit: int | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start `specforge run small.toml`.

        Args:
            words: further arguments.
            limit: largest file in bytes that the process and its workers may write.
            environment: variables on top of ours.
        """

        def limited() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        process = subprocess.Popen(
            [sys.executable, PROGRAM, "run", "small.toml", "--store", "store", *words],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limited,  # noqa: PLW1509  # no threads here
        )
        self.started.append(process)
        return process

    def run(self, *words: str, limit: int | None = None, **environment: str) -> tuple[int, str, str]:
        """Run it to its end and return exit code, standard output and standard error."""
        process = self.start(*words, limit=limit, **environment)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def updates(self) -> list[int]:
        """Return the updates in the training log, over all attempts."""
        try:
            text = (self.store / "runs" / "small" / "logs" / "train.jsonl").read_text()
        except FileNotFoundError:
            return []
        records = [json.loads(line) for line in text.split("\n") if line]
        return [record["updates"] for record in records if record["event"] == "train"]

    def wait_for_update(self, update: int) -> None:
        while update not in self.updates():
            assert self.started[-1].poll() is None, self.started[-1].communicate(timeout=120)
            time.sleep(0.01)

    def verify(self) -> None:
        """Check that every result is whole, and that nothing is left half made."""
        for folder in (self.store / "objects").glob("*/*"):
            durable.verify(folder)
        assert [] == list((self.store / "tmp").iterdir())


@pytest.fixture
def user(small: SmallExperiment) -> Iterator[User]:
    typing = User(small)
    yield typing
    for process in typing.started:
        process.kill()
        process.communicate(timeout=120)


def test_everything_is_said_and_a_second_run_is_one_line_a_step(user: User) -> None:
    code, out, err = user.run()
    assert (0, 1) == (code, out.count("test   bleu   50.00"))
    assert "checkpoints" in out
    assert "specforge translate small.toml --store store" in out
    assert 4 == err.count("done")

    code, out, err = user.run()
    assert 0 == code
    assert ["preprocess", "train", "generate.test", "score.test"] == [
        line.split()[0] for line in err.strip().split("\n")
    ]
    assert 1 == len(out.strip().split("\n"))


def test_how_fast_a_training_was_stands_in_its_manifest(user: User) -> None:
    user.run()

    made = {
        path.parent.parent.name: json.loads(path.read_text())["made"]
        for path in (user.store / "objects").glob("*/*/manifest.json")
    }
    assert {"device": "cpu", "seconds": 2.5} == made["train"]["pace"]
    assert ["train"] == [kind for kind, facts in made.items() if "pace" in facts]


def test_samples_are_shown_beside_their_references(user: User) -> None:
    _, out, _ = user.run()

    assert "test   source       three test" in out
    assert "test   reference    drei test" in out


def test_until_stops_after_a_kind(user: User) -> None:
    code, _, err = user.run("--until", "train")

    assert 0 == code
    assert ["preprocess", "train"] == sorted(path.name for path in (user.store / "objects").iterdir())
    assert "generate" not in err


def test_a_step_that_is_not_there_cannot_be_forced(user: User) -> None:
    code, _, err = user.run("--force", "tokenizer")

    assert ExitCode.WRONG_INPUT == code
    assert "SF109" in err
    assert "the steps are preprocess, train, generate.test, score.test" in err


def test_a_step_that_is_not_reached_cannot_be_forced(user: User) -> None:
    code, _, err = user.run("--force", "train", "--until", "preprocess")

    assert ExitCode.WRONG_INPUT == code
    assert "error[SF109]: step `train` is forced and comes after those of `--until`" in err


def test_no_step_to_run_is_said(user: User) -> None:
    assert (ExitCode.DONE, "", "nothing to do: the plan has no step up to `tokenizer`\n") == user.run(
        "--until", "tokenizer"
    )


def test_forcing_a_kind_means_all_its_steps(user: User) -> None:
    user.run()

    _, _, err = user.run("--force", "generate", "--force", "score.test")

    assert ["generate.test", "score.test"] == [line.split()[0] for line in err.split("\n") if " done " in line]


def test_a_run_goes_on_when_nobody_reads_what_it_says(user: User) -> None:
    process = user.start()
    assert process.stderr is not None
    process.stderr.close()  # as `2>&1 | head -0` would

    assert ExitCode.DONE == process.wait()
    assert ["generate", "preprocess", "score", "train"] == sorted(
        path.name for path in (user.store / "objects").iterdir()
    )


def test_of_two_runs_at_once_one_waits_and_says_for_whom(user: User) -> None:
    go = user.folder / "go"
    first = user.start(FAKE_TRAIN=f"patient:{go}")
    user.wait_for_update(6)
    refused, _, told = user.run("--no-wait")
    second = user.start()
    assert second.stderr is not None
    waiting = next(line for line in second.stderr if "waiting" in line)
    go.touch()
    out, err = first.communicate(timeout=120)
    second_out, second_err = second.communicate(timeout=120)

    assert ExitCode.REFUSED == refused
    assert "error[SF621]: train " in told
    assert f"as pid {first.pid} since" in told
    assert f"waiting for train {_train_key(user)[:8]}, running on host " in waiting
    assert f"as pid {first.pid} since" in waiting
    assert (0, 0) == (first.returncode, second.returncode), err + second_err
    assert [1, 2, 3, 4, 5, 6] == user.updates()
    assert ["train", "reuse"] in [line.split()[:2] for line in second_err.split("\n")]
    assert "test   bleu" in out
    assert "test   bleu" in second_out


def _train_key(user: User) -> str:
    (folder,) = (user.store / "objects" / "train").iterdir()
    return folder.name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_stops_the_run_and_its_worker(user: User, number: signal.Signals, code: int) -> None:
    process = user.start(FAKE_TRAIN="stopped:0")
    while "ready" not in _log(user):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)

    assert code == process.returncode
    assert "stopped after update 3, state saved" in err
    assert "Traceback" not in err
    user.verify()


def _log(user: User) -> str:
    try:
        return (user.store / "runs" / "small" / "logs" / "train.jsonl").read_text()
    except FileNotFoundError:
        return ""


def test_a_killed_run_goes_on_where_its_training_was(user: User) -> None:
    process = user.start(FAKE_SECONDS="0.2")
    user.wait_for_update(3)
    process.kill()
    process.communicate(timeout=120)

    code, _, err = user.run()

    assert 0 == code
    assert "at update " in err
    # an orphan may have finished one update more, whose record nobody wrote down any more
    assert [1, 2, 3, 4, 5, 6] == sorted({*user.updates(), 4})
    assert len(user.updates()) == len(set(user.updates()))
    user.verify()


@pytest.mark.parametrize("point", ["/objects/train", "plan.json"])
def test_a_run_that_is_killed_while_publishing_is_repeated(user: User, point: str) -> None:
    faults = Path(__file__).parent.parent / "acceptance" / "faults"
    marker = user.folder / "fired"
    wish = f"os.rename {point} 1 {marker}"
    killed, _, _ = user.run(
        PYTHONPATH=f"{faults}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", SPECFORGE_TEST_KILL=wish
    )

    code, out, err = user.run()

    assert marker.exists()
    assert -signal.SIGKILL == killed
    assert 0 == code, err
    assert "test   bleu   50.00" in out
    user.verify()


@pytest.mark.parametrize("limit", [100, 1_500])
def test_a_full_disk_is_exit_4_and_leaves_nothing_half_written(user: User, limit: int) -> None:
    code, _, err = user.run(limit=limit)

    assert ExitCode.ENVIRONMENT == code, err
    assert "error[SF602]: the disk is full" in err
    assert "Traceback" not in err
    code, _, err = user.run()
    assert 0 == code, err
    user.verify()


def test_a_file_in_the_place_of_the_store_is_exit_4(user: User) -> None:
    user.store.write_text("not a folder")

    code, _, err = user.run()

    assert ExitCode.ENVIRONMENT == code
    assert "error[SF60" in err
    assert "not a folder" == user.store.read_text()


def test_a_store_that_may_not_be_written_is_exit_4(user: User) -> None:
    user.store.mkdir()
    user.store.chmod(0o555)
    # root may write anywhere, so it becomes somebody else once everything is imported
    program = (
        "import os, sys, specforge.cli.run, specforge.execution.runner, specforge.language.messages.diagnostics\n"
        "from specforge.cli.main import main\n"
        "from specforge.cli.spec_arguments import load_experiment\n"
        "from pathlib import Path\n"
        "load_experiment(Path('small.toml'), [], 'store')\n"
        "os.getuid() or os.seteuid(65534)\n"
        "sys.exit(main(['run', 'small.toml', '--store', 'store']))\n"
    )
    for folder in (user.folder, *user.folder.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)

    result = subprocess.run(
        [sys.executable, "-c", program], cwd=user.folder, capture_output=True, text=True, check=False
    )

    assert ExitCode.ENVIRONMENT == result.returncode, result.stderr
    assert "error[SF601]: the system refused: permission denied" in result.stderr
    assert [] == list(user.store.iterdir())
