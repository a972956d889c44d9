"""The runner with workers that have no engine: what is reused, published, locked, discarded and shown."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue
from small_experiment import SmallExperiment

from specforge.execution.prepare import prepare
from specforge.execution.run_folder import RunFolder
from specforge.execution.runner import How, Options, Runner
from specforge.execution.signals import StopRequest
from specforge.foundation import durable
from specforge.foundation.errors import (
    CorruptStateError,
    EnvironmentFaultError,
    RefusedError,
    SpecforgeError,
    StepFailedError,
    WrongInputError,
)
from specforge.foundation.events import ProgressEvent
from specforge.planning.plan import Plan
from specforge.storage.digests import Digests
from specforge.storage.locks import hold
from specforge.storage.store import Store

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
ALL = ("preprocess", "train", "generate.test", "score.test")


class Screen:
    """Keeps what a run shows."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.moves: list[tuple[str, int]] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, step: str, event: ProgressEvent) -> None:
        self.moves.append((step, event.done))

    def end(self, step: str) -> None:
        self.moves.append((step, -1))


class Bench:
    """Runs a small experiment with fake workers."""

    def __init__(self, small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
        self.small = small
        self.store = Store(small.folder / "store")
        self.screen = Screen()
        self.stop = StopRequest()
        self.monkeypatch = monkeypatch

    def plan(self, *assignments: str, name: str = "small.toml") -> Plan:
        return prepare(self.small.spec(*assignments, name=name), self.store, Digests(None))

    def run(
        self, *assignments: str, name: str = "small.toml", force: Sequence[str] = (), wait: bool = True
    ) -> dict[str, How]:
        spec = self.small.spec(*assignments, name=name)
        digests = Digests(None)
        plan = prepare(spec, self.store, digests)
        self.screen = Screen()
        options = Options(frozenset(force), wait, COMMAND)
        return Runner(spec, plan, self.store, digests, self.screen, self.stop, options).run(plan.steps)

    def fails(self, *assignments: str, **behaviours: str) -> SpecforgeError:
        for kind, behaviour in behaviours.items():
            self.monkeypatch.setenv(f"FAKE_{kind.upper()}", behaviour)
        with pytest.raises(SpecforgeError) as caught:
            self.run(*assignments)
        for kind in behaviours:
            self.monkeypatch.delenv(f"FAKE_{kind.upper()}")
        return caught.value

    @property
    def folder(self) -> Path:
        return self.store.run_folder("small")

    def results(self) -> dict[str, list[str]]:
        """Return the keys that each kind has results for."""
        return {
            path.name: sorted(found.name for found in path.iterdir())
            for path in (self.store.root / "objects").iterdir()
        }

    def records(self, step: str) -> list[dict[str, JsonValue]]:
        text = (self.folder / "logs" / f"{step}.jsonl").read_text()
        return [json.loads(line) for line in text.split("\n") if line]

    def tidy(self) -> bool:
        """Whether nothing is left in tmp."""
        return not list((self.store.root / "tmp").iterdir())


@pytest.fixture
def bench(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(small, monkeypatch)


def made(done: dict[str, How]) -> list[str]:
    return [step for step, how in done.items() if how == "run"]


def test_a_second_run_reuses_everything(bench: Bench) -> None:
    assert list(ALL) == made(bench.run())
    assert [] == made(bench.run())
    assert 4 == len(bench.screen.lines)
    assert [] == bench.screen.moves
    assert bench.tidy()


def test_a_published_result_can_be_verified_and_says_what_it_is(bench: Bench) -> None:
    bench.run()
    step = bench.plan().step("generate.test")
    folder = bench.store.result(step.kind, step.key)

    durable.verify(folder)
    manifest = durable.read_manifest(folder)
    assert manifest is not None
    assert ("generate", step.key) == (manifest["kind"], manifest["key"])
    assert {"train": bench.plan().step("train").key} == manifest["needs"]
    size = (bench.small.folder / "test.en").stat().st_size
    assert [("test/source", 3, size)] == [(file["role"], file["lines"], file["size"]) for file in manifest["inputs"]]  # type: ignore[index, union-attr, call-overload]


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("generate.search.beam=2", ["generate.test"]),
        ("generate.metrics='chrf'", ["score.test"]),
        ("run.max_tokens=99", []),
        ("train.max_updates=9", ["train"]),
    ],
)
def test_a_change_runs_what_reads_it_and_equal_outputs_cut_off_the_rest(
    bench: Bench, assignment: str, expected: list[str]
) -> None:
    # the fake engine's outputs depend on the seed and what was read alone: what comes after is equal, and reused
    bench.run()

    assert expected == made(bench.run(assignment))


def test_a_result_that_is_equal_gets_the_new_key_too(bench: Bench) -> None:
    bench.run()
    before = bench.plan().step("train")
    bench.run("preprocess.max_length=77")
    after = bench.plan("preprocess.max_length=77").step("train")

    assert before.key != after.key
    assert any(f"equal to {before.key[:8]}" in line for line in bench.screen.lines)
    old, new = (bench.store.result("train", key) / "best" / "model.safetensors" for key in (before.key, after.key))
    assert old.stat().st_ino == new.stat().st_ino
    manifest = bench.store.manifest("train", after.key)
    assert manifest is not None
    assert before.key == manifest["same_as"]
    durable.verify(bench.store.result("train", after.key))
    assert [] == made(bench.run("preprocess.max_length=77"))


def test_an_unfinished_training_goes_on(bench: Bench) -> None:
    error = bench.fails(train="stopped_after:3")
    assert isinstance(error, StepFailedError)
    assert "resume" == bench.plan().step("train").state.value

    bench.run()

    updates = [record["updates"] for record in bench.records("train") if record["event"] == "train"]
    assert [1, 2, 3, 4, 5, 6] == updates
    assert ["start", "failed", "start", "done"] == [
        record["event"] for record in bench.records("train") if record["event"] in {"start", "failed", "done"}
    ]


def test_a_training_that_loses_a_worker_goes_on_by_itself(bench: Bench) -> None:
    bench.monkeypatch.setenv("FAKE_TRAIN", "mortal:2")

    assert list(ALL) == made(bench.run())

    updates = [record["updates"] for record in bench.records("train") if record["event"] == "train"]
    assert [1, 2, 3, 4, 5, 6] == updates
    told = [line for line in bench.screen.lines if "restart" in line]
    assert [
        f"  train: warning: the worker was killed by SIGKILL; training goes on from update {n} (restart {n} of 3)"
        for n in (1, 2)
    ] == told
    result = bench.store.result("train", bench.plan().step("train").key)
    assert not (result / "rest").exists(), "what a killed attempt had written is not published"


def test_no_other_step_is_started_again(bench: Bench) -> None:
    error = bench.fails(generate="killed:9")

    assert "the worker was killed by SIGKILL" == error.message
    assert not any("restart" in line for line in bench.screen.lines)


def test_ctrl_c_ends_the_restarts(bench: Bench) -> None:
    bench.monkeypatch.setenv("FAKE_TRAIN", "mortal:9")

    def impatient(_: Screen, text: str) -> None:
        if "restart 1" in text:
            bench.stop.note(signal.SIGINT)

    bench.monkeypatch.setattr(Screen, "line", impatient)
    with pytest.raises(SpecforgeError) as caught:
        bench.run()

    assert ("SF641", 130) == (caught.value.code, caught.value.exit_code)


def test_a_forced_training_starts_over_and_what_comes_after_follows_its_outputs(bench: Bench) -> None:
    bench.run()
    bench.screen = Screen()

    assert ["train"] == made(bench.run(force=["train"]))
    assert "forced" in next(line for line in bench.screen.lines if "train" in line)
    updates = [record["updates"] for record in bench.records("train") if record["event"] == "train"]
    assert [1, 2, 3, 4, 5, 6] * 2 == updates
    assert bench.tidy()


def test_a_step_that_comes_out_otherwise_has_the_rest_made_again(bench: Bench) -> None:
    bench.run()
    bench.monkeypatch.setenv("FAKE_SALT", "another machine")

    assert ["train", "generate.test", "score.test"] == made(bench.run(force=["train"]))
    assert "train came out otherwise" in next(line for line in bench.screen.lines if "generate.test" in line)
    assert {"preprocess": 1, "train": 1, "generate": 1, "score": 1} == {
        kind: len(keys) for kind, keys in bench.results().items()
    }


def test_a_folder_without_a_manifest_is_put_aside_and_not_lost(bench: Bench) -> None:
    bench.run()
    step = bench.plan().step("score.test")
    result = bench.store.result(step.kind, step.key)
    (result / durable.MANIFEST).unlink()

    assert ["score.test"] == made(bench.run())

    durable.verify(result)
    (aside,) = (path for path in result.parent.iterdir() if path != result)
    assert (aside / "scores.json").is_file()
    assert [] == made(bench.run())


def test_the_run_folder_shows_the_results(bench: Bench) -> None:
    bench.run()
    train, generate = (bench.plan().step(name) for name in ("train", "generate.test"))

    for name in ("best", "last", "average"):
        assert bench.store.result("train", train.key) / name == (bench.folder / name).resolve()
    assert (
        bench.store.result("generate", generate.key) / "hypotheses.txt"
        == (bench.folder / "test" / "hypotheses.txt").resolve()
    )
    plan = json.loads((bench.folder / "plan.json").read_text())
    assert [step.key for step in bench.plan().steps] == [step["key"] for step in plan["steps"]]


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"scores": 3}', '{"scores": [3]}', '{"scores": [{}]}'])
def test_damaged_scores_are_told_and_not_passed_over(bench: Bench, content: str | None) -> None:
    bench.run()
    plan = bench.plan()
    path = bench.store.result("score", plan.step("score.test").key) / "scores.json"
    path.unlink()
    if content is not None:
        path.write_text(content)

    with pytest.raises(CorruptStateError) as caught:
        RunFolder(bench.store, plan.name).write_scores(plan)

    assert ("SF614", str(path)) == (caught.value.code, str(caught.value.place))


def test_what_more_generate_wrote_is_shown_until_the_plan_is_another(bench: Bench) -> None:
    bench.run()
    generate = bench.plan().step("generate.test")
    (bench.store.result("generate", generate.key) / "hypotheses.jsonl").write_text("{}")
    more = bench.folder / "test" / "hypotheses.jsonl"

    RunFolder(bench.store, "small").link(generate)
    assert "{}" == more.read_text()
    bench.run("generate.nbest=2")

    assert not more.is_symlink()


def test_links_never_show_another_plans_results(bench: Bench) -> None:
    bench.run("data.test={test = 'test', more = 'valid'}")
    assert (bench.folder / "more" / "hypotheses.txt").exists()

    bench.fails("seed=2", train="wrong")

    assert not (bench.folder / "best").exists()
    assert not (bench.folder / "test" / "hypotheses.txt").exists()
    assert not (bench.folder / "more" / "hypotheses.txt").exists()


def test_records_messages_and_progress_go_where_they_belong(bench: Bench) -> None:
    bench.run()

    records = bench.records("preprocess")
    assert ["start", "figures", "message", "done"] == [record["event"] for record in records]
    # JSON has no infinity, and text from a worker moves no cursor
    assert (1.5, None) == (records[1]["figure"], records[1]["infinite"])
    assert r"  preprocess: warning: odd\x1b[2J" in bench.screen.lines
    assert [("train", update) for update in (1, 2, 3, 4, 5, 6, -1)] == [
        move for move in bench.screen.moves if move[0] == "train"
    ]
    assert [] == list((bench.folder / "logs").glob("*.stderr"))


def test_a_failure_publishes_nothing_and_names_the_step(bench: Bench) -> None:
    error = bench.fails(train="wrong")

    assert isinstance(error, WrongInputError)
    assert "in step `train`" in error.notes
    assert ["preprocess"] == list(bench.results())
    assert bench.tidy()
    assert list(ALL)[1:] == made(bench.run())


def test_a_worker_that_writes_nothing_has_failed(bench: Bench) -> None:
    error = bench.fails(score="lazy")

    assert "SF634" == error.code
    assert "scores.json" in error.message
    assert "score" not in bench.results()


def test_an_input_that_changes_while_a_step_runs_is_not_published(bench: Bench) -> None:
    edited = bench.small.folder / "train.en"

    error = bench.fails(preprocess=f"author:{edited}")

    assert isinstance(error, RefusedError)
    assert ("SF623", str(edited)) == (error.code, error.place and error.place.path)
    assert "this file changed while the step ran; its result is discarded" == error.message
    assert {} == bench.results()
    assert bench.tidy()


def test_an_input_that_changes_at_the_same_length_and_time_is_seen(bench: Bench) -> None:
    text = bench.small.folder / "test.en"
    text.write_text("unchanged"[:7] + "\n")
    bench.small.write_text("test", [("changes", "x")])
    os.utime(text, ns=(1, 1))

    assert "SF623" == bench.fails(generate=f"author:{text}").code


def test_an_input_that_changes_before_its_step_is_seen_before_any_work(bench: Bench) -> None:
    error = bench.fails(preprocess=f"author:{bench.small.folder / 'test.de'}")

    assert ("SF623", "this file changed after the plan was made") == (error.code, error.message)
    assert "in step `score.test`" in error.notes
    assert "score.test" not in {path.stem for path in (bench.folder / "logs").glob("*.stderr")}
    assert "generate" in bench.results()


def test_a_full_disk_leaves_nothing_half_written(bench: Bench) -> None:
    error = bench.fails(generate="full")

    assert isinstance(error, EnvironmentFaultError)
    assert "generate" not in bench.results()
    assert bench.tidy()
    assert ["generate.test", "score.test"] == made(bench.run())


def test_a_file_in_the_place_of_the_store_is_refused_before_any_work(bench: Bench) -> None:
    bench.store.root.write_text("")

    with pytest.raises(OSError, match="store"):
        bench.run()

    assert "" == bench.store.root.read_text()


def test_a_run_name_that_another_spec_holds_is_refused(bench: Bench) -> None:
    bench.run()
    other = bench.small.write_spec((bench.small.folder / "small.toml").read_text(), "other.toml")

    with pytest.raises(RefusedError) as caught:
        bench.run("name='small'", name="other.toml")
    assert "SF622" == caught.value.code
    assert str(bench.small.folder / "small.toml") in caught.value.message

    (bench.small.folder / "small.toml").unlink()  # a spec that is gone holds nothing
    assert [] == made(bench.run("name='small'", name="other.toml"))
    assert other.is_file()


def test_a_step_that_another_run_makes_is_refused_or_waited_for(bench: Bench) -> None:
    step = bench.plan().step("preprocess")
    bench.store.create()
    lock = bench.store.lock(f"preprocess-{step.key}")

    with hold(lock, "x", wait=False, announce=print), pytest.raises(RefusedError) as caught:
        bench.run(wait=False)
    assert "SF621" == caught.value.code
    assert caught.value.message.startswith(f"preprocess {step.key[:8]} is running on host ")


def test_a_request_to_stop_ends_the_waiting(bench: Bench) -> None:
    step = bench.plan().step("preprocess")
    bench.store.create()
    bench.stop.note(signal.SIGINT)

    with (
        hold(bench.store.lock(f"preprocess-{step.key}"), "x", wait=False, announce=print),
        pytest.raises(SpecforgeError) as caught,
    ):
        bench.run()

    assert ("SF641", 130) == (caught.value.code, caught.value.exit_code)


def test_ranks_get_their_numbers_and_a_place_to_meet(bench: Bench) -> None:
    log = bench.small.folder / "jobs"
    bench.monkeypatch.setenv("FAKE_LOG", str(log))
    bench.monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    bench.monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)

    bench.run("run.devices=3")

    jobs = [json.loads(line) for line in log.read_text().split("\n") if line]
    train = sorted((job for job in jobs if job["kind"] == "train"), key=lambda job: job["rank"])
    assert [(0, 3, 2), (1, 3, 2), (2, 3, 2)] == [(job["rank"], job["world"], job["threads"]) for job in train]
    (place,) = {job["rendezvous"] for job in train}
    assert bench.store.root / "tmp" in Path(place).parents
    assert {(0, 1, 6, None)} == {
        (job["rank"], job["world"], job["threads"], job["rendezvous"]) for job in jobs if job["kind"] != "train"
    }


def test_a_log_that_cannot_be_written_does_not_stop_the_run(bench: Bench) -> None:
    (bench.folder / "logs" / "preprocess.jsonl").mkdir(parents=True)

    assert list(ALL) == made(bench.run())
    assert any("the log is not written any more" in line for line in bench.screen.lines)
