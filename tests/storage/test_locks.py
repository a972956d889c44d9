"""Locks: one holder at a time, inherited by children, freed by death, and a message that says for whom one waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from specforge.foundation.errors import RefusedError
from specforge.storage.locks import hold, try_lock

HOLDER = textwrap.dedent(
    """
    import subprocess, sys, time
    from pathlib import Path
    from specforge.storage.locks import hold

    with hold(Path(sys.argv[1]), "x", wait=True, announce=print) as descriptor:
        if len(sys.argv) > 2:
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            print(subprocess.Popen(command, pass_fds=(descriptor,)).pid, flush=True)
        print("held", flush=True)
        time.sleep(60)
    """
)


class GaveUpError(Exception):
    """Raised by a test's pause."""


def give_up(_: float) -> None:
    raise GaveUpError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def holder(path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that holds the lock; the first line that it prints is there when it does."""
    started: list[subprocess.Popen[str]] = []

    def start(*extra: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(path), *extra]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def is_free(path: Path) -> bool:
    descriptor = try_lock(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_lock_is_free_again_after_the_block(path: Path) -> None:
    with hold(path, "x", wait=False, announce=print):
        assert not is_free(path)

    assert is_free(path)


def test_a_second_process_is_refused_and_told_who_holds_it(
    path: Path, holder: Callable[..., subprocess.Popen[str]]
) -> None:
    process = holder()
    assert "held" == line(process)

    with pytest.raises(RefusedError) as caught, hold(path, "train b83f20d1", wait=False, announce=print):
        pass

    assert ("SF621", 3) == (caught.value.code, caught.value.exit_code)
    assert caught.value.message.startswith("train b83f20d1 is running on host ")
    assert f" as pid {process.pid} since " in caught.value.message


def test_one_who_waits_says_once_for_whom(path: Path, holder: Callable[..., subprocess.Popen[str]]) -> None:
    process = holder()
    assert "held" == line(process)
    told: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            process.kill()
            process.wait()

    with hold(path, "train b83f20d1", wait=True, announce=told.append, pause=pause):
        assert not is_free(path)

    assert len(pauses) >= 3
    (message,) = told
    assert message.startswith("waiting for train b83f20d1, running on host ")
    assert f" as pid {process.pid} since " in message


def test_one_who_waits_may_give_up(path: Path, holder: Callable[..., subprocess.Popen[str]]) -> None:
    assert "held" == line(holder())

    with pytest.raises(GaveUpError), hold(path, "x", wait=True, announce=lambda _: None, pause=give_up):
        pass


def test_a_killed_holder_leaves_no_lock(path: Path, holder: Callable[..., subprocess.Popen[str]]) -> None:
    process = holder()
    assert "held" == line(process)
    process.kill()
    process.wait()

    assert is_free(path)


def test_an_orphan_that_inherited_the_lock_still_holds_it(
    path: Path, holder: Callable[..., subprocess.Popen[str]]
) -> None:
    process = holder("with a child")
    orphan = int(line(process))
    assert "held" == line(process)
    process.kill()
    process.wait()

    assert not is_free(path)
    os.kill(orphan, signal.SIGKILL)
    while not is_free(path):  # the kernel frees it once the orphan is gone
        pass


def test_a_lock_file_that_was_replaced_excludes_nobody_twice(path: Path) -> None:
    held = try_lock(path)
    assert held is not None
    path.unlink()

    second = try_lock(path)

    assert second is not None
    assert os.fstat(second).st_ino == path.stat().st_ino
    assert not is_free(path)
    os.close(held)
    os.close(second)


def test_a_file_that_is_replaced_between_opening_and_locking_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock
    replaced: list[Path] = []

    def replacing(descriptor: int, operation: int) -> None:
        if not replaced:
            replaced.append(path)
            path.unlink()
            path.touch()
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", replacing)
    descriptor = try_lock(path)

    assert descriptor is not None
    assert os.fstat(descriptor).st_ino == path.stat().st_ino
    os.close(descriptor)


def test_a_link_in_the_place_of_a_lock_is_refused(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic link"):
        try_lock(path)

    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("note", ["", "{", "[]", '{"host": "a"}', "\xff"])
def test_a_note_that_cannot_be_read_changes_no_decision(path: Path, note: str) -> None:
    with hold(path, "x", wait=False, announce=print):
        path.write_text(note)
        with (
            pytest.raises(RefusedError, match="x is running in another process"),
            hold(path, "x", wait=False, announce=print),
        ):
            pass


def test_a_note_cannot_forge_a_terminal(path: Path) -> None:
    with hold(path, "x", wait=False, announce=print):
        path.write_text(json.dumps({"host": "\x1b[2J", "pid": 1, "since": "12:00"}))
        with pytest.raises(RefusedError, match=r"host \\x1b\[2J as"), hold(path, "x", wait=False, announce=print):
            pass
