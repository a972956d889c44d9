"""The difference of two specs: every row is tried out, and the law that a spec does not differ from itself."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.planning.comparison.difference import Compared, Difference, FieldChange, compare
from specforge.planning.comparison.variation import Variant, changes, unchanged, vary
from specforge.planning.compile import keyed_steps
from specforge.planning.inputs import inspect_inputs
from specforge.storage.digests import Digests

ALL = ("preprocess", "train", "generate.test", "score.test")
CHANGES = [
    "train.max_updates=8",
    "train.best_metric='bleu'",
    "model.dropout=0.3",
    "model='fconv'",
    "criterion='cross_entropy'",
    "generate.search='greedy'",
    "generate.metrics=['chrf', 'bleu']",
    "generate.metrics=[{use = 'bleu', lowercase = true}]",
    "generate.checkpoint='last'",
    "data.train=['train', 'valid']",
    "data.train={path = 'train', weight = 2}",
    "data.valid='test'",
    "data.test={test = 'valid'}",
    "data.test={other = 'test'}",
    "seed=5",
    "name='label'",
    "run.devices=3",
    "preprocess.max_ratio=2.0",
    "task={use = 'translation', source = 'de', target = 'en'}",
]


def compared(small: SmallExperiment, *assignments: str, name: str = "small.toml") -> Compared:
    spec = small.spec(*assignments, name=name)
    inputs = inspect_inputs(spec, Digests(None))
    return Compared(Variant(spec, inputs), keyed_steps(spec, inputs))


def difference(small: SmallExperiment, *assignments: str) -> Difference:
    return compare(compared(small), compared(small, *assignments))


def row(small: SmallExperiment, assignment: str) -> FieldChange:
    (field,) = difference(small, assignment).fields
    return field


@pytest.mark.parametrize("assignment", CHANGES)
def test_a_spec_does_not_differ_from_itself(small: SmallExperiment, assignment: str) -> None:
    found = compare(compared(small, assignment), compared(small, assignment))

    assert () == found.fields
    assert found.same_plan


@pytest.mark.parametrize("assignment", CHANGES)
def test_both_ways_name_the_same_fields_and_steps(small: SmallExperiment, assignment: str) -> None:
    one, other = compared(small), compared(small, assignment)
    there, back = compare(one, other), compare(other, one)

    assert {field.path for field in there.fields} == {field.path for field in back.fields}
    assert [(step.id, step.before, step.after) for step in there.steps] == [
        (step.id, step.after, step.before) for step in back.steps
    ]


@pytest.mark.parametrize("assignment", CHANGES)
def test_all_changes_together_are_the_other_plan(small: SmallExperiment, assignment: str) -> None:
    # a law that catches a field that nobody looks at: taking every value of the other spec must give its keys
    one, other = compared(small), compared(small, assignment, "optimizer.lr=0.7")
    varied = one.variant
    for path in changes(one.variant.spec, other.variant.spec):
        varied = vary(path, varied, other.variant)

    keys = {step.id: step.key for step in keyed_steps(varied.spec, varied.inputs)}
    assert {step.id: step.key for step in other.steps} == keys


def test_a_field_is_named_with_both_values_and_where_they_were_set(small: SmallExperiment) -> None:
    field = row(small, "train.max_updates=8")

    assert ("train", "max_updates") == field.path
    assert field.before is not None
    assert field.after is not None
    assert (4, 8) == (field.before.value, field.after.value)
    assert field.before.origin is not None
    assert field.before.origin.place is not None
    lines = (small.folder / "small.toml").read_text().split("\n")
    assert field.before.origin.place.line == lines.index("max_updates = 4") + 1
    assert field.after.origin is not None
    assert "set" == field.after.origin.layer


@pytest.mark.parametrize(
    ("assignment", "rekeys", "effect"),
    [
        ("train.max_updates=8", ALL[1:], "continues"),
        ("model.dropout=0.3", ALL[1:], "rekeys"),
        ("generate.search.beam=2", ALL[2:], "rekeys"),
        ("generate.metrics='chrf'", ALL[3:], "rekeys"),
        ("preprocess.max_length=50", ALL, "rekeys"),
        ("run.devices=3", (), "nothing"),
        ("allow=['SF411', 'SF412']", (), "nothing"),
        ("train.checkpoint_every='9 updates'", (), "nothing"),
        ("data.train={path = 'train', weight = 2}", ALL[1:], "rekeys"),
        ("data.train=['train', 'valid']", ALL, "rekeys"),
        ("data.valid='test'", ALL[:3] + ALL[3:], "rekeys"),
        ("data.test={test = 'valid'}", ALL[2:], "rekeys"),
        ("criterion='cross_entropy'", ALL[1:], "rekeys"),
    ],
)
def test_a_row_says_which_steps_it_re_keys(
    small: SmallExperiment, assignment: str, rekeys: tuple[str, ...], effect: str
) -> None:
    field = row(small, assignment)

    assert (rekeys, effect) == (field.rekeys, field.effect)


def test_equal_text_at_another_place_re_keys_nothing(small: SmallExperiment) -> None:
    for suffix in ("en", "de"):
        (small.folder / f"copy.{suffix}").write_bytes((small.folder / f"train.{suffix}").read_bytes())

    assert "nothing" == row(small, "data.train='copy'").effect


def test_a_component_of_another_name_is_one_row(small: SmallExperiment) -> None:
    field = row(small, "model='fconv'")

    assert ("model",) == field.path
    assert field.before is not None
    assert field.after is not None
    assert ("transformer", "fconv") == (field.before.value, field.after.value)


def test_metrics_and_corpora_of_another_number_are_one_row(small: SmallExperiment) -> None:
    metrics = row(small, "generate.metrics=['bleu', 'chrf']")
    assert metrics.after is not None
    assert ["bleu", "chrf"] == metrics.after.value

    corpora = row(small, "data.train=['train', 'valid']")
    assert corpora.after is not None
    assert [str(small.folder / name) for name in ("train", "valid")] == corpora.after.value


def test_another_test_is_a_row_without_a_value_before(small: SmallExperiment) -> None:
    found = difference(small, "data.test={test = 'test', more = 'valid'}")

    (field,) = found.fields
    assert (("data", "test", "more"), None) == (field.path, field.before)
    assert ("generate.more", "score.more") == field.rekeys
    assert {"generate.more": True, "score.more": True} == {
        step.id: step.before is None for step in found.steps if not step.shared
    }


def test_a_test_that_is_gone_is_a_row_with_its_steps(small: SmallExperiment) -> None:
    (field,) = compare(compared(small, "data.test={test = 'test', more = 'valid'}"), compared(small)).fields

    assert ("data", "test", "more") == field.path
    assert field.before is not None
    assert (None, ("generate.more", "score.more"), "rekeys") == (field.after, field.rekeys, field.effect)


def test_another_task_is_a_row_with_all_steps(small: SmallExperiment) -> None:
    found = difference(small, "task={use = 'translation', source = 'de', target = 'en'}")

    assert set(ALL) <= {step for field in found.fields for step in field.rekeys}


def test_a_step_names_the_fields_that_are_its_own(small: SmallExperiment) -> None:
    found = difference(small, "model.dropout=0.3", "generate.search.beam=2")

    assert {
        "preprocess": (),
        "train": (("model", "dropout"),),
        "generate.test": (("generate", "search", "beam"),),
        "score.test": (),
    } == {step.id: step.fields for step in found.steps}
    assert ("generate.test",) == found.steps[-1].follows


def test_a_preset_and_its_values_are_the_same_plan(small: SmallExperiment) -> None:
    values = small.spec("model='transformer_iwslt_de_en'").parts["model",].values()
    written = ", ".join(f"{name} = {str(value).lower()}" for name, value in values.items() if isinstance(value, int))
    preset = compared(small, "model={use = 'transformer_iwslt_de_en'}")

    found = compare(preset, compared(small, f"model={{use = 'transformer', {written}}}"))

    assert found.same_plan
    assert [(("model", "use"), "nothing")] == [(field.path, field.effect) for field in found.fields]


def test_the_name_that_a_file_gives_is_no_difference(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC, "copy.toml")

    assert () == compare(compared(small), compared(small, name="copy.toml")).fields
    assert "nothing" == row(small, "name='label'").effect


SEVERAL = st.lists(st.sampled_from(CHANGES), unique=True, max_size=4)
"""Any few of the changes; of two to one table the later one is in force."""

laws = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@laws
@given(SEVERAL)
def test_no_spec_differs_from_itself(small: SmallExperiment, assignments: list[str]) -> None:
    one = compared(small, *assignments)
    found = compare(one, compared(small, *assignments))

    assert () == found.fields
    assert found.same_plan
    assert len(one.variant.spec.origins) == unchanged(one.variant.spec, one.variant.spec)


@laws
@given(SEVERAL, SEVERAL)
def test_a_difference_is_symmetric(small: SmallExperiment, before: list[str], after: list[str]) -> None:
    one, other = compared(small, *before), compared(small, *after)
    there, back = compare(one, other), compare(other, one)

    sides = {field.path: (field.before, field.after) for field in there.fields}
    assert sides == {field.path: (field.after, field.before) for field in back.fields}
    assert there.same_plan == back.same_plan
    assert unchanged(one.variant.spec, other.variant.spec) == unchanged(other.variant.spec, one.variant.spec)
    in_both = {step.id for step in one.steps} & {step.id for step in other.steps}
    assert {field.path: in_both & {*field.rekeys} for field in there.fields} == {
        field.path: in_both & {*field.rekeys} for field in back.fields
    }


@laws
@given(SEVERAL, SEVERAL)
def test_equal_plans_have_no_field_that_moves_a_key(
    small: SmallExperiment, before: list[str], after: list[str]
) -> None:
    found = compare(compared(small, *before), compared(small, *after))

    assert found.same_plan == all(field.effect == "nothing" for field in found.fields)


def test_a_component_is_the_same_however_its_name_is_written(small: SmallExperiment) -> None:
    found = compare(
        compared(small, "criterion={use = 'cross_entropy'}"),
        compared(small, "criterion={use = 'specforge/cross_entropy'}"),
    )

    assert () == found.fields
    assert found.same_plan


def test_a_corpus_is_the_same_however_its_path_is_written(small: SmallExperiment) -> None:
    whole = ", ".join(f"{name} = '{small.folder / name}'" for name in ("train", "valid", "test"))
    found = compare(compared(small), compared(small, f"data={{{whole}}}"))
    assert (True, ()) == (found.same_plan, found.fields)

    below = ", ".join(f"{name} = '{small.folder.name}/{name}'" for name in ("train", "valid", "test"))
    found = compare(compared(small), compared(small, f"data={{root = '{small.folder.parent}', {below}}}"))
    assert (True, ()) == (found.same_plan, found.fields)


def test_the_values_that_are_alike_are_counted(small: SmallExperiment) -> None:
    one = small.spec()
    assert len(one.origins) - 1 == unchanged(one, small.spec("model.dropout=0.3"))
    # another component takes all its values with it
    of_model = sum(path[0] == "model" for path in one.origins)
    assert len(one.origins) - of_model == unchanged(one, small.spec("model='fconv'"))
