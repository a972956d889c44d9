"""States and reasons: what a store makes of a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from pydantic import JsonValue
from shelf import Shelf
from small_experiment import SmallExperiment

from specforge.planning.compile import compile_plan
from specforge.planning.keys import outputs_digest
from specforge.planning.plan import Plan, Step
from specforge.planning.plan_json import plan_json, steps_by_id
from specforge.planning.states import find_result, origin_digest
from specforge.storage.digests import Digests


class StepShelf(Shelf):
    """Results in memory, made step by step."""

    def put(self, plan: Plan, identifier: str, content: str) -> None:
        """Put a step's result there, as if it had been run."""
        step = plan.step(identifier)
        outputs = {need: outputs_digest(self.results[_place(plan.step(need))]) for need in step.needs}
        self.results[_place(step)] = {
            "made_from": origin_digest(step, dict(outputs)),
            "files": {"file": {"size": 1, "sha256": content}},
            "made": {"run": "earlier", "at": "2026-05-04T10:20:30+0000"},
        }

    def put_all(self, plan: Plan) -> None:
        for step in plan.steps:
            self.put(plan, step.id, f"output of {step.id}")


def _place(step: Step) -> tuple[str, str]:
    return step.kind, step.key


@pytest.fixture
def shelf() -> StepShelf:
    return StepShelf()


def compiled(small: SmallExperiment, shelf: StepShelf, *assignments: str, previous: Plan | None = None) -> Plan:
    last: dict[str, Mapping[str, JsonValue]] = {}
    if previous is not None:
        last = steps_by_id(json.loads(json.dumps(plan_json(previous))))
    return compile_plan(small.spec(*assignments), Digests(None), shelf, last)


def states(plan: Plan) -> dict[str, tuple[str, str]]:
    return {step.id: (step.state.value, step.reason) for step in plan.steps}


def test_nothing_is_there_yet(small: SmallExperiment, shelf: StepShelf) -> None:
    assert {("run", "no result yet")} == set(states(compiled(small, shelf)).values())


def test_what_is_there_is_reused(small: SmallExperiment, shelf: StepShelf) -> None:
    shelf.put_all(compiled(small, shelf))

    assert {("reuse", "made by earlier, 2026-05-04 10:20")} == set(states(compiled(small, shelf)).values())


def test_reasons_name_what_changed_since_the_last_run(small: SmallExperiment, shelf: StepShelf) -> None:
    before = compiled(small, shelf)
    shelf.put_all(before)
    (small.folder / "test.de").write_text("a\nb\nc\n")

    after = compiled(small, shelf, "generate.search.beam=9", "generate.metrics=['chrf']", previous=before)

    assert {
        "preprocess": ("reuse", "made by earlier, 2026-05-04 10:20"),
        "train": ("reuse", "made by earlier, 2026-05-04 10:20"),
        "generate.test": ("run", "changed: generate.search.beam"),
        "score.test": ("run", "changed: generate.metrics.0, test/target"),
    } == states(after)


def test_what_is_gone_since_the_last_run_is_a_change_too(small: SmallExperiment, shelf: StepShelf) -> None:
    before = compiled(small, shelf, "generate.metrics=['exact_match', 'chrf']")
    shelf.put_all(before)

    after = compiled(small, shelf, "generate.metrics=['exact_match']", previous=before)

    assert "changed: generate.metrics.1" == after.step("score.test").reason


def test_another_component_is_one_change_with_all_that_it_brings_along(
    small: SmallExperiment, shelf: StepShelf
) -> None:
    before = compiled(small, shelf)
    shelf.put_all(before)

    after = compiled(small, shelf, "generate.search={use = 'greedy'}", previous=before)

    assert "changed: generate.search" == after.step("generate.test").reason


def test_many_changes_are_counted(small: SmallExperiment, shelf: StepShelf) -> None:
    before = compiled(small, shelf)
    values = "{use = 'transformer', dropout = 0.3, embed_dim = 4, ffn_dim = 8, attention_heads = 1}"

    after = compiled(small, shelf, f"model={values}", previous=before)

    assert 3 == after.step("train").reason.count(",") + 1
    assert after.step("train").reason.endswith(" more")
    assert "after train" == after.step("generate.test").reason


def test_an_unfinished_training_is_resumed(small: SmallExperiment, shelf: StepShelf) -> None:
    train = compiled(small, shelf).step("train")
    assert train.trajectory is not None
    shelf.training[train.trajectory] = [{"updates": 2, "epoch": 1}, {"updates": 3, "epoch": 2}]

    assert ("resume", "at update 3 of 4") == states(compiled(small, shelf))["train"]


def test_a_larger_budget_goes_on_and_a_smaller_one_ignores_what_lies_beyond(
    small: SmallExperiment, shelf: StepShelf
) -> None:
    plan = compiled(small, shelf)
    shelf.put_all(plan)
    trajectory = plan.step("train").trajectory
    assert trajectory is not None
    shelf.training[trajectory] = [{"updates": 2, "epoch": 1}, {"updates": 4, "epoch": 2}]

    assert ("resume", "at update 4 of 9") == states(compiled(small, shelf, "train.max_updates=9"))["train"]
    assert ("resume", "at update 2 of 3") == states(compiled(small, shelf, "train.max_updates=3"))["train"]
    assert ("run", "no result yet") == states(compiled(small, shelf, "train.max_updates=1"))["train"]
    epochs = compiled(small, shelf, "train.max_updates=9", "train.max_epochs=1")
    assert ("resume", "at update 2 of 9") == states(epochs)["train"]


def test_equal_outputs_cut_off_what_comes_after(small: SmallExperiment, shelf: StepShelf) -> None:
    # a limit that no line reaches: preprocess runs, and its output is what it was
    shelf.put_all(compiled(small, shelf))
    changed = compiled(small, shelf, "preprocess.max_length=100")
    assert ("run", "no result yet") == states(changed)["train"]

    shelf.put(changed, "preprocess", "output of preprocess")
    after = states(compiled(small, shelf, "preprocess.max_length=100"))

    earlier = compiled(small, shelf).step("train").key[:8]
    assert ("reuse", f"equal to {earlier}: same settings and inputs, made by earlier, 2026-05-04 10:20") == after[
        "train"
    ]
    assert "reuse" == after["generate.test"][0]
    assert "reuse" == after["score.test"][0]


def test_other_outputs_cut_nothing_off(small: SmallExperiment, shelf: StepShelf) -> None:
    shelf.put_all(compiled(small, shelf))
    changed = compiled(small, shelf, "preprocess.max_length=100")
    shelf.put(changed, "preprocess", "something else")

    assert "run" == states(compiled(small, shelf, "preprocess.max_length=100"))["train"][0]


def test_a_result_of_another_run_of_the_step_above_is_stale(small: SmallExperiment, shelf: StepShelf) -> None:
    plan = compiled(small, shelf)
    shelf.put_all(plan)
    shelf.put(plan, "train", "trained again, on another machine")

    after = states(compiled(small, shelf))

    assert "reuse" == after["train"][0]
    assert ("run", "train came out otherwise") == after["generate.test"]


def test_a_result_whose_sources_are_gone_is_kept(small: SmallExperiment, shelf: StepShelf) -> None:
    plan = compiled(small, shelf)
    shelf.put_all(plan)
    del shelf.results[_place(plan.step("preprocess"))]

    after = states(compiled(small, shelf))

    assert "run" == after["preprocess"][0]
    assert "reuse" == after["train"][0]


def test_a_step_waits_for_the_outputs_that_it_is_judged_by(small: SmallExperiment, shelf: StepShelf) -> None:
    plan = compiled(small, shelf)

    assert origin_digest(plan.step("train"), {"preprocess": None}) is None
    assert find_result(plan.step("train"), {"preprocess": None}, shelf) is None


@pytest.mark.parametrize(
    "broken", [None, [], {"format": 0, "steps": []}, {"format": 1}, {"format": 1, "steps": [1, {}]}]
)
def test_a_plan_that_is_none_of_ours_is_forgotten(broken: JsonValue) -> None:
    assert {} == steps_by_id(broken)


def test_a_first_step_that_was_made_otherwise_says_so(small: SmallExperiment, shelf: StepShelf) -> None:
    plan = compiled(small, shelf)
    shelf.put_all(plan)
    shelf.results["preprocess", plan.step("preprocess").key].pop("made_from")

    assert ("run", "its result was made otherwise") == states(compiled(small, shelf))["preprocess"]
