"""Why a step runs: the nearest earlier result, and exactly what was changed since, followed through the steps above."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from shelf import Shelf
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.foundation.errors import CorruptStateError
from specforge.models.transformer.config import TransformerConfig
from specforge.planning.compile import compile_plan
from specforge.planning.explanation.nearest import Difference, Nearest, NeedDifference
from specforge.planning.explanation.step import StepExplanation, explain_step
from specforge.planning.keys import outputs_digest
from specforge.planning.material import ComponentDifference, FieldDifference, FileRecord, InputDifference
from specforge.planning.plan import Plan, State
from specforge.planning.states import origin_digest
from specforge.planning.world import Manifest
from specforge.plugin import marked
from specforge.storage.digests import Digests


class PlanShelf(Shelf):
    """Results in memory, with all that a manifest says."""

    def put(self, plan: Plan, content: str, *, run: str = "earlier", at: str = "2026-05-04T10:20:30+0000") -> None:
        """Put the results of all steps there, as if the plan had been run."""
        for step in plan.steps:
            needs = [plan.step(need) for need in step.needs]
            outputs = {need.id: outputs_digest(self.results[need.kind, need.key]) for need in needs}
            inputs: JsonValue = [
                {
                    "role": file.role,
                    "digest": file.digest,
                    "lines": file.lines,
                    "size": file.path.stat().st_size,
                    "path": str(file.path),
                }
                for file in step.inputs
            ]
            manifest: dict[str, JsonValue] = {
                "made_from": origin_digest(step, dict(outputs)),
                "files": {"file": {"size": 1, "sha256": f"{content} {step.id}"}},
                "made": {"run": run, "at": at, "host": "host", "seconds": 1.5, "specforge": "0.1"},
                "components": dict(step.components),
                "config": dict(step.config),
                "inputs": inputs,
                "needs": {need.id: need.key for need in needs},
            }
            self.results[step.kind, step.key] = json.loads(json.dumps(manifest))


@pytest.fixture
def shelf() -> PlanShelf:
    return PlanShelf()


def compiled(small: SmallExperiment, shelf: PlanShelf, *assignments: str) -> Plan:
    return compile_plan(small.spec(*assignments), Digests(None), shelf)


def explained(small: SmallExperiment, shelf: PlanShelf, identifier: str, *assignments: str) -> StepExplanation:
    plan = compiled(small, shelf, *assignments)
    return explain_step(plan.step(identifier), small.spec(*assignments), plan, shelf)


def nearest(small: SmallExperiment, shelf: PlanShelf, identifier: str, *assignments: str) -> Nearest:
    found = explained(small, shelf, identifier, *assignments).nearest
    assert found is not None
    return found


def roots(found: Iterable[Difference]) -> Iterator[FieldDifference | ComponentDifference | InputDifference]:
    """Yield what the differences come to, steps followed."""
    for difference in found:
        if isinstance(difference, NeedDifference):
            yield from roots(difference.causes)
        else:
            yield difference


def test_without_an_earlier_result_there_is_nothing_to_compare_with(small: SmallExperiment, shelf: PlanShelf) -> None:
    found = explained(small, shelf, "train")

    assert (State.RUN, None, 0, None) == (found.step.state, found.nearest, found.results, found.going)


def test_a_result_says_how_it_came_about(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    made = explained(small, shelf, "train").made
    assert made is not None
    assert ("earlier", "2026-05-04T10:20:30+0000", "host", 1.5, "0.1") == (
        made.run,
        made.at,
        made.host,
        made.seconds,
        made.specforge,
    )


def test_a_field_is_named_with_both_values(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    found = nearest(small, shelf, "train", "model.dropout=0.3")

    assert (FieldDifference("changed", ("model", "dropout"), 0.1, 0.3),) == found.differences


def test_numbers_are_written_as_the_spec_does(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf, "preprocess.max_ratio=3.0"), "a")

    (difference,) = nearest(small, shelf, "preprocess", "preprocess.max_ratio=2.0").differences

    assert isinstance(difference, FieldDifference)
    assert ("3.0", "2.0") == (str(difference.before), str(difference.after))  # keys write 3 and 2


def test_a_difference_above_is_followed_to_the_field(small: SmallExperiment, shelf: PlanShelf) -> None:
    before = compiled(small, shelf)
    shelf.put(before, "a")
    after = compiled(small, shelf, "preprocess.max_ratio=2.0")

    (score,) = nearest(small, shelf, "score.test", "preprocess.max_ratio=2.0").differences

    for identifier in ("generate.test", "train", "preprocess"):
        assert isinstance(score, NeedDifference)
        assert (identifier, before.step(identifier).key, after.step(identifier).key) == (
            score.step,
            score.before,
            score.after,
        )
        (score,) = score.causes
    assert FieldDifference("changed", ("preprocess", "max_ratio"), None, 2.0) == score


def test_a_file_that_was_changed_in_place_is_named_with_its_former_size(
    small: SmallExperiment, shelf: PlanShelf
) -> None:
    path = small.folder / "test.de"
    old = compiled(small, shelf)
    shelf.put(old, "a")
    size, digest = path.stat().st_size, old.step("score.test").inputs[0].digest
    path.write_text("a\nb\nc\n")
    new = compiled(small, shelf).step("score.test").inputs[0]

    assert new.digest != digest
    assert (
        InputDifference(
            "changed",
            "test/target",
            FileRecord(str(path), digest, 3, size),
            FileRecord(str(path), new.digest, 3, 6),
        ),
    ) == nearest(small, shelf, "score.test").differences


def test_a_result_from_before_sizes_were_written_down_has_none(small: SmallExperiment, shelf: PlanShelf) -> None:
    old = compiled(small, shelf)
    shelf.put(old, "a")
    inputs = shelf.results["score", old.step("score.test").key]["inputs"]
    assert isinstance(inputs, list)
    for item in inputs:
        assert isinstance(item, dict)
        del item["size"]
    (small.folder / "test.de").write_text("a\nb\nc\n")

    (difference,) = nearest(small, shelf, "score.test").differences

    assert isinstance(difference, InputDifference)
    assert difference.before is not None
    assert difference.before.size is None


@pytest.mark.parametrize(
    ("assignments", "path", "before", "after"),
    [
        (["model='fconv'"], ("model",), "specforge/transformer@1", "specforge/fconv@1"),
        (["train.best_metric='bleu'"], ("train", "best_metric"), "loss", "specforge/bleu@1"),
        (
            ["criterion='cross_entropy'"],
            ("criterion",),
            "specforge/label_smoothed_cross_entropy@1",
            "specforge/cross_entropy@1",
        ),
    ],
)
def test_another_component_is_one_difference(
    small: SmallExperiment, shelf: PlanShelf, assignments: list[str], path: tuple[str, ...], before: str, after: str
) -> None:
    shelf.put(compiled(small, shelf), "a")

    found = nearest(small, shelf, "train", *assignments)

    assert (ComponentDifference("changed", path, before, after),) == found.differences


def test_a_tokenizer_that_is_trained_is_one_difference_with_its_step(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    found = nearest(small, shelf, "train", "tokenizer={use = 'sentencepiece', vocab_size = 20, shared = true}")

    # the joined dictionary that a shared tokenizer brings is no difference of its own
    assert (("path", "tokenizer"),) == found.causes


def test_a_joined_dictionary_of_its_own_is_a_difference(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    assert (("path", "preprocess", "joined_dictionary"),) == nearest(
        small, shelf, "preprocess", "preprocess.joined_dictionary=true"
    ).causes


def test_another_corpus_is_one_difference_with_its_path(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    found = nearest(small, shelf, "preprocess", "data.train=['train', 'valid']")

    assert (FieldDifference("added", ("data", "train", 1), None, str(small.folder / "valid")),) == found.differences
    assert (("path", "data", "train", "1"),) == nearest(small, shelf, "train", "data.train=['train', 'valid']").causes


def test_a_field_that_several_steps_read_is_one_cause(small: SmallExperiment, shelf: PlanShelf) -> None:
    tokenizer = "tokenizer={use = 'sentencepiece', vocab_size = 20}"
    shelf.put(compiled(small, shelf, tokenizer), "a")

    assert (("path", "seed"),) == nearest(small, shelf, "score.test", tokenizer, "seed=2").causes


def test_another_version_of_a_component_is_a_difference_and_its_fields_are_compared(
    small: SmallExperiment, shelf: PlanShelf
) -> None:
    plan = compiled(small, shelf, "model.dropout=0.3")
    shelf.put(plan, "a")
    components = shelf.results["train", plan.step("train").key]["components"]
    assert isinstance(components, dict)
    components["model"] = "specforge/transformer@0"

    assert (
        ComponentDifference("changed", ("model",), "specforge/transformer@0", "specforge/transformer@1"),
        FieldDifference("changed", ("model", "dropout"), 0.3, 0.1),
    ) == nearest(small, shelf, "train").differences


def test_what_a_key_left_out_had_the_neutral_value(
    small: SmallExperiment, shelf: PlanShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = TransformerConfig.model_fields["dropout"]
    monkeypatch.setattr(declared, "metadata", [*declared.metadata, marked(neutral=0.1)])
    shelf.put(compiled(small, shelf), "a")

    assert (FieldDifference("changed", ("model", "dropout"), 0.1, 0.3),) == nearest(
        small, shelf, "train", "model.dropout=0.3"
    ).differences


def test_a_test_of_another_name_is_compared_with_it(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    found = nearest(small, shelf, "generate.other", "data.test={other = 'valid'}")

    assert [("input", "test/source")] == list(found.causes)
    (small.folder / "table.tsv").write_text("a\tb\n")
    found = nearest(small, shelf, "generate.other", "data.test={other = {path = 'table.tsv', format = 'tsv'}}")
    assert ("path", "data", "test", "other", "format") in found.causes


def test_a_test_that_is_held_out_is_compared_where_its_corpus_stands(small: SmallExperiment, shelf: PlanShelf) -> None:
    small.write_spec(SMALL_SPEC.replace('test = "test"\n', ""))

    def corpora(share: float) -> str:
        return f"data.train=['valid', {{ path = 'train', hold_out = {{ test = {share} }} }}]"

    shelf.put(compiled(small, shelf, corpora(0.25)), "a")

    found = nearest(small, shelf, "generate.test", corpora(0.5))

    # the corpus is the second of the spec and the first of those that the step reads
    assert ("path", "data", "train", "1", "hold_out", "test") in found.causes
    assert 1 == len(found.causes)


def test_the_nearest_is_the_one_with_the_fewest_differences(small: SmallExperiment, shelf: PlanShelf) -> None:
    far = compiled(small, shelf, "model.dropout=0.3", "optimizer.lr=0.1")
    near = compiled(small, shelf, "preprocess.max_ratio=3.0")
    for number, plan in enumerate((far, near)):
        shelf.put(plan, f"{number}")

    assert near.step("train").key == nearest(small, shelf, "train").made.key


def test_of_equal_ones_the_run_s_own_is_nearest_and_then_the_newest(small: SmallExperiment, shelf: PlanShelf) -> None:
    plans = [compiled(small, shelf, f"model.dropout={rate}") for rate in (0.3, 0.4, 0.5)]
    shelf.put(plans[0], "a", at="2026-05-04T10:00:00+0000")
    shelf.put(plans[1], "b", at="2026-05-06T10:00:00+0000")
    shelf.put(plans[2], "c", at="2026-05-05T10:00:00+0000")
    assert plans[1].step("train").key == nearest(small, shelf, "train").made.key

    shelf.put(plans[0], "a", run="small")
    assert plans[0].step("train").key == nearest(small, shelf, "train").made.key


def test_a_step_above_that_came_out_the_same_is_no_cause(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "same")
    other = compiled(small, shelf, "preprocess.max_ratio=9.0")
    shelf.put(other, "same")
    del shelf.results["train", other.step("train").key]

    found = nearest(small, shelf, "train", "preprocess.max_ratio=9.0", "model.dropout=0.3")

    assert (("path", "model", "dropout"),) == found.causes


def test_a_result_whose_own_key_can_be_got_back_is_nearer(small: SmallExperiment, shelf: PlanShelf) -> None:
    plain, other = compiled(small, shelf), compiled(small, shelf, "preprocess.max_ratio=9.0")
    shelf.put(plain, "same", at="2026-05-01T00:00:00+0000")
    shelf.put(other, "same", at="2026-06-01T00:00:00+0000")

    assert plain.step("train").key == nearest(small, shelf, "train", "model.dropout=0.3").made.key


def test_an_equal_result_with_a_key_of_its_own_says_what_gave_it_that(small: SmallExperiment, shelf: PlanShelf) -> None:
    before, after = compiled(small, shelf), compiled(small, shelf, "preprocess.max_ratio=9.0")
    shelf.put(before, "same")
    shelf.put(after, "same")
    shelf.results["train", after.step("train").key]["same_as"] = before.step("train").key

    found = explained(small, shelf, "train", "preprocess.max_ratio=9.0")

    assert found.made is not None
    assert (after.step("train").key, before.step("train").key) == (found.made.key, found.made.same_as)
    assert (FieldDifference("changed", ("preprocess", "max_ratio"), None, 9.0),) == tuple(roots(found.differences))
    assert () == explained(small, shelf, "train").differences


def test_early_cut_off_tells_what_gave_the_equal_result_another_key(small: SmallExperiment, shelf: PlanShelf) -> None:
    before = compiled(small, shelf)
    shelf.put(before, "same")
    other = compiled(small, shelf, "preprocess.max_ratio=9.0")
    shelf.put(other, "same")
    del shelf.results["train", other.step("train").key]

    found = explained(small, shelf, "train", "preprocess.max_ratio=9.0")

    assert found.made is not None
    assert before.step("train").key == found.made.key
    (above,) = found.differences
    assert isinstance(above, NeedDifference)
    assert above.alike
    assert (FieldDifference("changed", ("preprocess", "max_ratio"), None, 9.0),) == above.causes


def test_an_earlier_result_above_that_is_gone_is_told(small: SmallExperiment, shelf: PlanShelf) -> None:
    plan = compiled(small, shelf)
    shelf.put(plan, "a")
    del shelf.results["preprocess", plan.step("preprocess").key]

    (difference,) = nearest(small, shelf, "train", "preprocess.max_ratio=9.0").differences

    assert isinstance(difference, NeedDifference)
    assert (False, ()) == (difference.compared, difference.causes)
    assert (("step", "preprocess"),) == nearest(small, shelf, "train", "preprocess.max_ratio=9.0").causes


def test_a_broken_result_above_an_earlier_one_is_as_good_as_gone(
    small: SmallExperiment, shelf: PlanShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compiled(small, shelf)
    shelf.put(plan, "a")
    broken, whole = plan.step("preprocess").key, shelf.manifest

    def manifest(kind: str, key: str) -> Manifest | None:
        if key == broken:
            raise CorruptStateError("SF611", "a manifest is not JSON")
        return whole(kind, key)

    monkeypatch.setattr(shelf, "manifest", manifest)

    assert (("step", "preprocess"),) == nearest(small, shelf, "train", "preprocess.max_ratio=9.0").causes


def test_a_result_whose_own_key_does_not_do_names_what_was_made_again(small: SmallExperiment, shelf: PlanShelf) -> None:
    plan = compiled(small, shelf)
    shelf.put(plan, "a")
    step = plan.step("preprocess")
    again = dict(shelf.results["preprocess", step.key])
    again["files"] = {"file": {"size": 1, "sha256": "otherwise"}}
    again["made"] = {"run": "other", "at": "2026-06-01T00:00:00+0000"}
    shelf.results["preprocess", step.key] = again

    found = explained(small, shelf, "train")

    assert State.RUN is found.step.state
    assert found.stale is not None
    assert (("preprocess",), None) == (found.remade, found.nearest)
    again["made"] = {"run": "other", "at": "2026-04-01T00:00:00+0000"}
    assert () == explained(small, shelf, "train").remade  # otherwise, and nobody knows why


def checkpoint(updates: int, epoch: int) -> Mapping[str, JsonValue]:
    return {"updates": updates, "epoch": epoch}


def test_a_larger_budget_goes_on_from_the_checkpoint(small: SmallExperiment, shelf: PlanShelf) -> None:
    plan = compiled(small, shelf)
    shelf.put(plan, "a")
    trajectory = plan.step("train").trajectory
    assert trajectory is not None
    shelf.training[trajectory] = [checkpoint(2, 1), checkpoint(4, 2)]

    found = explained(small, shelf, "train", "train.max_updates=8")

    assert State.RESUME is found.step.state
    assert found.going is not None
    assert (("max_updates",), 4, 2, None) == (
        found.going.grown,
        found.going.updates,
        found.going.epoch,
        found.going.obstacle,
    )


def test_a_schedule_that_looks_at_the_end_is_named_as_the_obstacle(small: SmallExperiment, shelf: PlanShelf) -> None:
    small.write_spec(SMALL_SPEC + "[lr_scheduler]\nuse = 'cosine'\n")
    plan = compiled(small, shelf)
    shelf.put(plan, "a")
    trajectory = plan.step("train").trajectory
    assert trajectory is not None
    shelf.training[trajectory] = [checkpoint(4, 2)]

    found = explained(small, shelf, "train", "train.max_updates=8")

    assert State.RUN is found.step.state
    assert found.going is not None
    assert ("schedule", "specforge/cosine@1", ("max_updates",)) == (
        found.going.obstacle,
        found.going.scheduler,
        found.going.grown,
    )


def test_without_checkpoints_or_with_later_ones_only_training_cannot_go_on(
    small: SmallExperiment, shelf: PlanShelf
) -> None:
    plan = compiled(small, shelf)
    shelf.put(plan, "a")
    found = explained(small, shelf, "train", "train.max_updates=3").going
    assert found is not None
    assert "no checkpoint" == found.obstacle

    trajectory = plan.step("train").trajectory
    assert trajectory is not None
    shelf.training[trajectory] = [checkpoint(4, 2)]
    found = explained(small, shelf, "train", "train.max_updates=3").going
    assert found is not None
    assert ("beyond the budget", 4) == (found.obstacle, found.first)


def test_another_field_beside_the_budget_is_no_question_of_going_on(small: SmallExperiment, shelf: PlanShelf) -> None:
    shelf.put(compiled(small, shelf), "a")

    assert explained(small, shelf, "train", "train.max_updates=8", "model.dropout=0.3").going is None


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallExperiment, PlanShelf]:
    """The small experiment and the results of one run of it."""
    small, shelf = SmallExperiment(tmp_path_factory.mktemp("ran")), PlanShelf()
    shelf.put(compiled(small, shelf), "a")
    return small, shelf


CHANGES: Mapping[str, str] = {
    "seed": "7",
    "model.dropout": "0.35",
    "model.activation": "'gelu'",
    "optimizer.lr": "0.01",
    "optimizer.betas": "[0.8, 0.9]",
    "criterion.label_smoothing": "0.2",
    "train.batch_sentences": "2",
    "train.clip_norm": "1.0",
    "train.max_updates": "9",
    "preprocess.max_length": "50",
    "preprocess.padding_factor": "4",
    "preprocess.threshold_source": "1",
    "generate.search.beam": "2",
    "generate.search.lenpen": "0.5",
    "generate.checkpoint": "'last'",
    "generate.metrics.0.lowercase": "true",
}


@settings(max_examples=25, deadline=None)
@given(paths=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=5, unique=True))
def test_the_differences_are_exactly_what_was_changed(ran: tuple[SmallExperiment, PlanShelf], paths: list[str]) -> None:
    small, shelf = ran
    base = "generate.metrics=[{ use = 'bleu' }]"
    assignments = [base, *(f"{path}={CHANGES[path]}" for path in paths)]

    found = nearest(small, shelf, "score.test", *assignments)

    assert {tuple(path.split(".")) for path in paths} == {cause[1:] for cause in found.causes}
    for difference in roots(found.differences):
        assert isinstance(difference, FieldDifference)
        assert difference.before != difference.after
