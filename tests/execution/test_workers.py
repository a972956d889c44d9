"""Workers: heard, stopped, and blamed rightly when something goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from specforge.execution.job import CorpusJob, Job
from specforge.execution.processes import team as teams
from specforge.execution.processes.team import Watch
from specforge.execution.signals import StopRequest
from specforge.execution.workers import Launch, available_threads, run_workers
from specforge.foundation.errors import (
    EnvironmentFaultError,
    InterruptedRunError,
    SpecforgeError,
    StepFailedError,
    StoppedRunError,
    WrongInputError,
)
from specforge.foundation.events import Event, MessageEvent, RecordEvent

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


class Team:
    """Starts fake workers in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.log = folder / "stderr"
        self.events: list[Event] = []
        self.stop = StopRequest()
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("FAKE_MARK", str(folder))  # by which its processes are found

    def watch(self, seconds: float | None) -> Watch | None:
        return None if seconds is None else Watch(seconds, self.folder / "stacks")

    def run(
        self,
        behaviour: str,
        *,
        world: int = 1,
        on_event: Callable[[Event], None] | None = None,
        watch: float | None = None,
    ) -> None:
        self._monkeypatch.setenv("FAKE_GENERATE", behaviour)
        output = self.folder / "output"
        output.mkdir(exist_ok=True)
        job = Job(id="generate.test", kind="generate", settings={"seed": 1}, output=str(output), world=world)
        jobs = tuple(job.model_copy(update={"rank": rank}) for rank in range(world))
        launch = Launch(jobs, self.log, command=COMMAND, watch=self.watch(watch))
        run_workers(launch, on_event or self.events.append, self.stop)

    def fails(self, behaviour: str, *, world: int = 1) -> SpecforgeError:
        with pytest.raises(SpecforgeError) as caught:
            self.run(behaviour, world=world)
        return caught.value

    def stopped(self, behaviour: str, *signals: signal.Signals) -> SpecforgeError:
        """Run until the worker is ready, and then ask it to stop."""

        def on_event(event: Event) -> None:
            if isinstance(event, MessageEvent):
                for number in signals:
                    self.stop.note(number)

        with pytest.raises(SpecforgeError) as caught:
            self.run(behaviour, on_event=on_event)
        return caught.value


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    return Team(tmp_path, monkeypatch)


def test_events_are_heard_and_outputs_written(team: Team) -> None:
    team.run("well")

    assert (team.folder / "output" / "hypotheses.txt").is_file()
    assert [RecordEvent, MessageEvent] == [type(event) for event in team.events]


def test_a_job_may_be_larger_than_a_pipe(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_GENERATE", "lazy")
    job = Job(id="generate.test", kind="generate", settings={"text": "x" * 1_000_000})

    run_workers(Launch((job,), team.log, command=COMMAND), team.events.append, team.stop)


@pytest.mark.parametrize("ours", [None, "glibc.malloc.check=1"])
def test_memory_comes_in_huge_pages_unless_the_user_has_other_plans(
    team: Team, monkeypatch: pytest.MonkeyPatch, ours: str | None
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if ours is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", ours)

    team.run("frank:GLIBC_TUNABLES")

    assert MessageEvent("info", ours or "glibc.malloc.hugetlb=1") in team.events


def test_an_error_keeps_its_kind_code_and_message(team: Team) -> None:
    error = team.fails("wrong")

    assert isinstance(error, WrongInputError)
    assert ("SF504", "nothing is left") == (error.code, error.message)


def test_a_full_disk_is_the_environments_fault(team: Team) -> None:
    error = team.fails("full")

    assert isinstance(error, EnvironmentFaultError)
    assert "SF602" == error.code


def test_an_unexpected_error_says_where_its_traceback_is(team: Team) -> None:
    error = team.fails("unexpected")

    assert "SF632" == error.code
    assert f"its traceback is at the end of {team.log}" in error.notes


def test_a_killed_worker_is_named_with_its_signal(team: Team) -> None:
    error = team.fails("killed:9")

    assert isinstance(error, StepFailedError)
    assert ("SF631", "the worker was killed by SIGKILL") == (error.code, error.message)
    assert error.help is not None
    assert "out of memory" in error.help


def test_the_last_words_of_a_worker_are_shown_and_not_those_of_another_attempt(team: Team) -> None:
    team.log.write_text("an earlier attempt\n")

    error = team.fails("silent:7")

    assert "the worker ended with exit code 7 and did not say why" == error.message
    assert ("the last words", r"\x1b[31mof a worker") == error.notes[1:]


def test_strange_lines_are_shown_and_change_nothing(team: Team) -> None:
    team.run("strange")

    texts = [event.text for event in team.events if isinstance(event, MessageEvent)]
    assert 4 == sum("something strange" in text for text in texts)
    assert (team.folder / "output" / "hypotheses.txt").is_file()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_dead_rank_is_named_and_ends_the_others(team: Team, rank: int) -> None:
    # the other rank fails because of it, in its own way, and must not be blamed
    others = {0: "unexpected", 1: "stopped:0"}[rank]
    begun = time.monotonic()

    error = _two_ranks(team, f"killed:{int(signal.SIGSEGV)}", rank, others)

    assert f"rank {rank} of 2 was killed by SIGSEGV" == error.message
    assert time.monotonic() - begun < teams.GRACE_SECONDS / 2


def test_the_rank_with_an_error_that_was_foreseen_is_blamed(team: Team) -> None:
    error = _two_ranks(team, "wrong", 1, "unexpected")

    assert "SF504" == error.code
    assert "rank 1 of 2 failed" in error.notes


def test_among_ranks_that_met_the_unexpected_the_first_is_blamed(team: Team) -> None:
    # its end is what the other one met
    error = _two_ranks(team, "unexpected", 1, "startled:0.3")

    assert "unexpected ValueError: no" == error.message
    assert "rank 1 of 2 failed" in error.notes


def test_a_rank_that_ended_early_and_well_is_told_of(team: Team) -> None:
    error = _two_ranks(team, "startled:0.3", 0, "lazy")

    assert "rank 1 of 2 had ended, with exit code 0" in error.notes


def _two_ranks(
    team: Team,
    behaviour: str,
    rank: int,
    others: str,
    on_event: Callable[[Event], None] = lambda _: None,
    watch: float | None = None,
) -> SpecforgeError:
    """Let one rank behave in one way and the other in another: ranks have kinds of their own here."""
    team._monkeypatch.setenv("FAKE_GENERATE", behaviour)
    team._monkeypatch.setenv("FAKE_SCORE", others)
    output = str(team.folder)
    jobs = [
        Job(
            id="x",
            kind="generate" if number == rank else "score",
            settings={"seed": 1},
            output=output,
            rank=number,
            world=2,
        )
        for number in range(2)
    ]
    with pytest.raises(SpecforgeError) as caught:
        run_workers(Launch(jobs, team.log, command=COMMAND, watch=team.watch(watch)), on_event, team.stop)
    return caught.value


@pytest.mark.parametrize(("beats", "expected"), [((5, 3), "rank 1"), ((3, 5), "rank 0"), ((4, 4), "ranks 0 and 1")])
def test_when_nothing_moves_the_rank_that_the_others_wait_for_is_named(
    team: Team, beats: tuple[int, int], expected: str
) -> None:
    error = _two_ranks(team, f"beating:{beats[0]}", 0, f"beating:{beats[1]}", watch=0.3)

    assert ("SF665", 6) == (error.code, error.exit_code)
    assert error.message.startswith(f"{expected} of 2 hung: nothing has moved for")
    assert error.notes == (f"the stacks of all ranks are in {team.folder / 'stacks'}",)
    stacks = (team.folder / "stacks").read_text()
    assert ("rank 0:", "rank 1:", 2) == (*stacks.split("\n")[:1], *_lines(stacks, "rank 1"), stacks.count("be_beating"))
    assert _all_gone(f"FAKE_MARK={team.folder}")


def _lines(text: str, start: str) -> list[str]:
    return [line for line in text.split("\n") if line.startswith(start)]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of a stopped process")
def test_a_stopped_rank_is_told_from_one_that_waits_for_it(team: Team) -> None:
    error = _two_ranks(team, "beating:4", 0, "beating:4:stop", watch=0.3)

    assert "rank 1 of 2 hung: a signal has stopped it" == error.message
    assert 2 == (team.folder / "stacks").read_text().count("be_beating"), "a stopped rank shows its stack too"


def test_before_the_first_update_more_patience_is_had(team: Team) -> None:
    # the ranks take longer to begin than they may stand still
    error = _two_ranks(team, "startled:1", 0, "startled:1", watch=0.5)

    assert "SF632" == error.code


def test_a_step_is_not_hung_while_a_rank_beats(team: Team) -> None:
    error = _two_ranks(team, "wrong", 0, "beating:4", watch=60)

    assert "SF504" == error.code


def test_what_a_worker_started_ends_with_it(team: Team) -> None:
    team.run("parent")

    assert _all_gone(f"FAKE_MARK={team.folder}")


def _all_gone(mark: str) -> bool:
    """Whether the processes with some text in their environment are gone, or soon will be; Linux only."""
    for _ in range(500):  # a killed process takes a moment
        if not _processes_with(mark):
            return True
        time.sleep(0.01)
    return False


def _processes_with(text: str) -> list[str]:
    """Return the processes of this user whose environment or command holds some text; Linux only."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in words and int(folder.name) != os.getpid():
            found.append(folder.name)
    return found


def test_ctrl_c_lets_the_worker_save_its_state(team: Team) -> None:
    error = team.stopped("stopped:0", signal.SIGINT)

    assert isinstance(error, InterruptedRunError)
    assert ("SF643", "stopped after update 3, state saved") == (error.code, error.message)


def test_sigterm_lets_the_worker_save_its_state(team: Team) -> None:
    error = team.stopped("stopped:0.5", signal.SIGTERM)

    assert isinstance(error, StoppedRunError)
    assert "SF643" == error.code


def test_a_second_signal_ends_at_once(team: Team) -> None:
    begun = time.monotonic()

    error = team.stopped("deaf", signal.SIGINT, signal.SIGTERM)

    assert isinstance(error, InterruptedRunError)
    assert "SF641" == error.code
    assert time.monotonic() - begun < teams.GRACE_SECONDS / 2


def test_a_worker_that_does_not_stop_is_killed_after_the_grace(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teams, "GRACE_SECONDS", 0.3)

    error = team.stopped("deaf", signal.SIGTERM)

    assert isinstance(error, StoppedRunError)
    assert "SF642" == error.code


def test_ranks_that_save_their_state_are_waited_for(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    # one rank has nothing to save and ends at once, the other takes longer than the patience with failures
    monkeypatch.setattr(teams, "LAST_WORDS_SECONDS", 0.1)
    ready: list[Event] = []

    def on_event(event: Event) -> None:
        ready.append(event)
        if len(ready) == 2:
            team.stop.note(signal.SIGTERM)

    error = _two_ranks(team, "stopped:1", 0, "stopped:0", on_event)

    assert ("SF643", 143) == (error.code, error.exit_code)


def test_ranks_that_somebody_else_stops_are_waited_for_too(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teams, "LAST_WORDS_SECONDS", 0.1)
    ready: list[int] = []

    def on_event(event: Event) -> None:
        assert isinstance(event, MessageEvent)
        ready.append(int(event.text.split()[1]))
        if len(ready) == 2:
            for process in ready:
                os.kill(process, signal.SIGTERM)

    error = _two_ranks(team, "stopped:1", 0, "stopped:0", on_event)

    assert ("SF643", 143) == (error.code, error.exit_code)
    assert () == error.notes


def test_an_error_while_listening_leaves_no_worker(team: Team) -> None:
    def on_event(event: Event) -> None:
        raise OSError(str(event))

    with pytest.raises(OSError, match="ready"):
        team.run("stopped:0", on_event=on_event)

    assert _all_gone(f"FAKE_MARK={team.folder}")


def test_threads_are_what_the_user_says_or_a_fair_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    assert 3 == available_threads(4, {"OMP_NUM_THREADS": "3"})
    assert 4 == available_threads(2, {})
    assert 1 == available_threads(16, {"OMP_NUM_THREADS": "many"})


def test_a_path_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = os.fsdecode(b"/data/l\xe9/train.en")
    corpus = CorpusJob(role="train/0", format="text", files={"source": path})
    job = Job(id="preprocess", kind="preprocess", settings={}, corpora=[corpus])

    with pytest.raises(EnvironmentFaultError) as caught:
        run_workers(Launch((job,), tmp_path / "stderr", command=COMMAND), lambda _: None, StopRequest())

    assert ("SF603", path) == (caught.value.code, str(caught.value.place))
