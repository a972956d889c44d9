"""When a training that lost a worker is started again, and when that is given up."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from specforge.execution.processes.blame import LostWorkerError
from specforge.execution.restarts import run_with_restarts
from specforge.execution.signals import StopRequest
from specforge.foundation.errors import InterruptedRunError, SpecforgeError, StepFailedError


class Training:
    """Attempts that each begin at the newest checkpoint, do some updates, save every tenth, and die.

    Args:
        updates: how many updates each attempt does; None for the one that ends well.
    """

    def __init__(self, *updates: int | None) -> None:
        self.saved = 0
        self.said: list[str] = []
        self.stop = StopRequest()
        self.attempts = 0
        self._updates: Iterator[int | None] = iter(updates)

    def attempt(self, number: int) -> None:
        assert number == self.attempts
        self.attempts += 1
        done = next(self._updates)
        if done is None:
            return
        self.saved = (self.saved + done) // 10 * 10
        raise LostWorkerError("SF631", "rank 1 of 2 was killed by SIGKILL", updates=done)

    def run(self, most: int = 3) -> None:
        run_with_restarts(self.attempt, most, lambda: self.saved, self.stop, self.said.append)

    def fails(self, most: int = 3) -> SpecforgeError:
        with pytest.raises(SpecforgeError) as caught:
            self.run(most)
        return caught.value


def test_it_goes_on_from_the_last_checkpoint_and_says_so_each_time() -> None:
    training = Training(5, 25, 17, None)

    training.run()

    assert [
        "rank 1 of 2 was killed by SIGKILL; training goes on from the beginning (restart 1 of 3)",
        "rank 1 of 2 was killed by SIGKILL; training goes on from update 20 (restart 2 of 3)",
        "rank 1 of 2 was killed by SIGKILL; training goes on from update 30 (restart 3 of 3)",
    ] == training.said


def test_restarts_are_counted() -> None:
    training = Training(10, 10, 10, 10)

    error = training.fails(most=3)

    assert ("SF631", 6, 4) == (error.code, error.exit_code, training.attempts)
    assert "training was restarted 3 times before" in error.notes[-1]


def test_none_may_be_allowed() -> None:
    error = Training(10).fails(most=0)

    assert "it is not restarted: `run.max_restarts` is 0" == error.notes[-1]


def test_a_death_at_the_same_update_is_not_tried_a_third_time() -> None:
    training = Training(13, 3, 3)

    error = training.fails(most=100)

    # the first leaves a checkpoint at 10, the second dies at 13 again
    assert 2 == training.attempts
    assert "at update 13" in error.notes[-1]


def test_getting_further_counts_although_nothing_was_saved() -> None:
    training = Training(3, 5, 4)

    training.fails(most=100)

    assert 3 == training.attempts


def test_what_a_worker_says_it_failed_of_would_come_again() -> None:
    stop = StopRequest()
    tries: list[int] = []
    said: list[str] = []

    def attempt(number: int) -> None:
        tries.append(number)
        raise StepFailedError("SF633", "the loss is nan")

    with pytest.raises(StepFailedError):
        run_with_restarts(attempt, 3, lambda: 0, stop, said.append)

    assert ([0], []) == (tries, said)


def test_a_request_to_stop_is_followed_by_no_restart() -> None:
    training = Training(10, None)
    training.stop.note(signal.SIGINT)

    error = training.fails()

    assert isinstance(error, InterruptedRunError)
    assert 1 == training.attempts
