"""Results come in the order of the messages, from any number of processes, and failures come through."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator

import pytest

from specforge.data.ordered_map import ForkedPool
from specforge.data.ordered_map import ordered_map as _ordered_map
from specforge.foundation.errors import Place, SpecforgeError, StepFailedError, WrongInputError


def ordered_map(work: Callable[[bytes], bytes], messages: Iterable[bytes], processes: int) -> Generator[bytes]:
    return _ordered_map(work, messages, processes, "squares numbers", "run.workers")


def numbers(count: int) -> Iterator[bytes]:
    return (str(number).encode() for number in range(count))


def square(message: bytes) -> bytes:
    return str(int(message) ** 2).encode()


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 17])
def test_results_come_in_order(processes: int, count: int) -> None:
    assert [square(message) for message in numbers(count)] == list(ordered_map(square, numbers(count), processes))


def test_messages_larger_than_a_pipe_do_not_block() -> None:
    messages = [bytes([number]) * 1_000_000 for number in range(6)]

    assert messages == list(ordered_map(lambda message: message, messages, 2))


def test_work_is_done_elsewhere_and_messages_are_read_a_few_ahead() -> None:
    read: list[int] = []

    def source() -> Iterator[bytes]:
        for number in range(20):
            read.append(number)
            yield b""

    results = ordered_map(lambda _: str(os.getpid()).encode(), source(), 2)
    workers = {next(results) for _ in range(4)}

    assert len(workers) == 2
    assert str(os.getpid()).encode() not in workers
    assert 4 < len(read) <= 4 + 4 * 2  # four results taken, and at most four messages ahead for each
    results.close()


def test_nobody_waits_for_the_slowest() -> None:
    """The first message is answered only when the third has been."""
    third = multiprocessing.get_context("fork").Event()

    def work(message: bytes) -> bytes:
        if message == b"2":
            third.set()
        return b"late" if message == b"0" and not third.wait(timeout=60.0) else message

    assert list(numbers(5)) == list(ordered_map(work, numbers(5), 2))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_ours_comes_through_as_it_is(processes: int) -> None:
    def work(message: bytes) -> bytes:
        if message == b"3":
            raise WrongInputError("SF502", "not UTF-8", place=Place("train.en", 7), notes=("a note",), help="a help")
        return message

    results = ordered_map(work, numbers(9), processes)

    assert [b"0", b"1", b"2"] == [next(results) for _ in range(3)]
    with pytest.raises(WrongInputError) as caught:
        list(results)
    error = caught.value
    assert ("SF502", "not UTF-8", Place("train.en", 7), ("a note",), "a help") == (
        error.code,
        error.message,
        error.place,
        error.notes,
        error.help,
    )


def test_another_exception_is_named_and_its_traceback_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def work(message: bytes) -> bytes:
        raise KeyError(message.decode())

    with pytest.raises(StepFailedError) as caught:
        list(ordered_map(work, numbers(3), 2))

    assert ("SF632", "unexpected KeyError: '0'") == (caught.value.code, caught.value.message)
    assert "Traceback" in capfd.readouterr().err


def test_a_process_that_dies_is_an_error() -> None:
    def work(message: bytes) -> bytes:
        if message == b"2":
            os.kill(os.getpid(), signal.SIGKILL)
        return message

    with pytest.raises(SpecforgeError) as caught:
        list(ordered_map(work, numbers(9), 2))

    assert caught.value.code == "SF631"


def test_an_error_of_the_source_ends_the_processes() -> None:
    def source() -> Iterator[bytes]:
        yield from numbers(3)
        raise ZeroDivisionError

    seen: list[bytes] = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(ordered_map(lambda _: str(os.getpid()).encode(), source(), 2))


def test_closing_ends_the_processes() -> None:
    results = ordered_map(lambda _: str(os.getpid()).encode(), numbers(9), 2)
    pid = int(next(results))
    os.kill(pid, 0)  # it lives

    results.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_pool_serves_several_streams_with_the_same_processes() -> None:
    with ForkedPool(lambda _: str(os.getpid()).encode(), 2, "counts", "run.workers") as pool:
        first = set(pool.map(numbers(1)))
        second = set(pool.map(numbers(6)))
        third = set(pool.map(numbers(5)))

    assert (1, 2) == (len(first), len(second))
    assert first < second == third


def test_processes_stay_though_nobody_asked_for_more_than_there_was() -> None:
    """Who takes as many answers as there are messages never sees the end of the stream."""
    with ForkedPool(lambda _: str(os.getpid()).encode(), 2, "counts", "run.workers") as pool:
        first = {next(stream) for stream in [pool.map(numbers(6))] for _ in range(6)}
        second = {next(stream) for stream in [pool.map(numbers(6))] for _ in range(6)}

    assert first == second


def test_a_stream_that_is_kept_half_read_does_not_disturb_the_next() -> None:
    with ForkedPool(square, 2, "squares numbers", "run.workers") as pool:
        kept = pool.map(numbers(9))
        assert b"0" == next(kept)
        later = pool.map(str(number).encode() for number in range(10, 15))
        assert b"100" == next(later)
        kept.close()
        assert [b"121", b"144", b"169", b"196"] == list(later)


def test_a_process_that_dies_between_two_streams_is_replaced_after_the_error() -> None:
    with ForkedPool(lambda _: str(os.getpid()).encode(), 2, "counts", "run.workers") as pool:
        for process in set(pool.map(numbers(6))):
            os.kill(int(process), signal.SIGKILL)
        with pytest.raises(StepFailedError, match="a process that counts died"):
            list(pool.map(numbers(6)))
        assert 2 == len(set(pool.map(numbers(6))))


def test_each_process_begins_by_its_number() -> None:
    begun: list[int] = []

    def work(_: bytes) -> bytes:
        return json.dumps([begun, os.getpid()]).encode()

    with ForkedPool(work, 3, "counts", "run.workers", begun.append) as pool:
        answers = [json.loads(answer) for answer in [*pool.map(numbers(9)), *pool.map(numbers(9))]]

    assert {(0,), (1,), (2,)} == {tuple(numbers_begun) for numbers_begun, _ in answers}
    assert 3 == len({process for _, process in answers})


def test_an_answer_that_nobody_took_is_not_given_to_the_next_message() -> None:
    with ForkedPool(square, 2, "squares numbers", "run.workers") as pool:
        assert b"0" == next(pool.map(numbers(9)))
        assert [b"0", b"1", b"4"] == list(pool.map(numbers(3)))


def test_a_pool_goes_on_after_an_error_of_its_work() -> None:
    def work(message: bytes) -> bytes:
        if message == b"3":
            raise WrongInputError("SF502", "not UTF-8")
        return message

    with ForkedPool(work, 2, "reads", "run.workers") as pool:
        with pytest.raises(WrongInputError):
            list(pool.map(numbers(9)))
        assert [b"0", b"1"] == list(pool.map(numbers(2)))
