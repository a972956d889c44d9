"""Plan files: what is written gives the same plan back, and a file that was touched is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from no_results import NoResults
from pydantic import JsonValue
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.foundation.durable import json_text
from specforge.foundation.errors import WrongInputError
from specforge.language.resolve import load_sweep
from specforge.language.spec import Spec
from specforge.planning.compile import compile_plan
from specforge.planning.lock.contents import Lock
from specforge.planning.plan import Plan
from specforge.planning.plan_file import (
    changed_files,
    line_numbers,
    lock_with_paths,
    plan_document,
    planned_specs,
    read_plan_file,
)
from specforge.storage.digests import Digests


def plan_of(spec: Spec) -> Plan:
    return compile_plan(spec, Digests(None), NoResults())


def keys(plan: Plan) -> dict[str, str]:
    return {step.id: step.key for step in plan.steps}


def write(spec: Spec, path: Path, points: tuple[Spec, ...] = ()) -> Path:
    document = plan_document(spec, plan_of(spec), path.parent / "store", [(point, plan_of(point)) for point in points])
    path.write_bytes(json_text(document))
    return path


@pytest.mark.parametrize(
    "assignments",
    [
        [],
        ["model='transformer_tiny'", "optimizer.lr=1e-9", "name='other'"],
        ["tokenizer={use = 'sentencepiece', vocab_size = 20}", "preprocess.joined_dictionary=false"],
        ["train.best_metric='bleu'", "train.valid_search={use = 'beam', beam = 2}", "generate.metrics=['chrf', 'ter']"],
        ["data.train={path = 'train', weight = 0.5, hold_out = {valid = 0.2, test = 0.2}}", "unset=['data.valid']"],
        ["data.test={'a.b' = 'valid', other = 'train'}", "train.patience=3", "run.devices=2"],
        ["lr_scheduler='specforge/fixed'", "train.batch_sentences=2", "train.max_epochs=1"],
    ],
)
def test_a_plan_file_gives_the_same_plan_back(small: SmallExperiment, tmp_path: Path, assignments: list[str]) -> None:
    if "unset=['data.valid']" in assignments:  # a hold_out takes its place, and that of the test
        small.write_spec(SMALL_SPEC.replace('valid = "valid"\ntest = "test"\n', ""))
        assignments = assignments[:-1]
    spec = small.spec(*assignments)
    path = write(spec, tmp_path / "plan.json")

    restored, points = planned_specs(read_plan_file(path), path)

    assert keys(plan_of(spec)) == keys(plan_of(restored))
    assert (spec.tree, spec.path, spec.name) == (restored.tree, restored.path, restored.name)
    assert () == points


def test_the_spec_is_not_looked_at(small: SmallExperiment, tmp_path: Path) -> None:
    spec = small.spec()
    before = keys(plan_of(spec))
    path = write(spec, tmp_path / "plan.json")
    (tmp_path / "small.toml").unlink()

    restored, _ = planned_specs(read_plan_file(path), path)

    assert before == keys(plan_of(restored))


def test_every_value_has_its_place_in_the_file(small: SmallExperiment, tmp_path: Path) -> None:
    path = write(small.spec(), tmp_path / "plan.json")
    lines = path.read_text().split("\n")

    restored, _ = planned_specs(read_plan_file(path), path)

    places = {field: history[-1].place for field, history in restored.origins.items() if history[-1].layer == "spec"}
    for field, place in places.items():
        assert place is not None
        assert place.line is not None
        assert place.column is not None
        assert lines[place.line - 1][place.column - 1 :].startswith(json.dumps(field[-1]) + ": ")
    assert ("model", "embed_dim") in places


SWEEP = """
[sweep.grid]
"train.batch_tokens" = [100, 200]
seed = [1, 2]

[[sweep.case]]
name = "few"
"train.batch_sentences" = 2
"""


def test_a_sweep_gives_its_points_back(small: SmallExperiment, tmp_path: Path) -> None:
    # without a batch of its own the spec has the task's default, which a point with another kind of batch must not meet
    small.write_spec(SMALL_SPEC.replace("batch_sentences = 4\n", "") + SWEEP)
    spec, points = load_sweep(tmp_path / "small.toml")
    path = write(spec, tmp_path / "plan.json", points)

    assert [] == read_plan_file(path).steps  # none of the spec beside its sweep runs
    restored, restored_points = planned_specs(read_plan_file(path), path)

    assert [keys(plan_of(point)) for point in points] == [keys(plan_of(point)) for point in restored_points]
    assert [point.point for point in points] == [point.point for point in restored_points]
    assert spec.sweep is not None
    assert restored.sweep is not None
    assert spec.sweep.points == restored.sweep.points
    assert spec.sweep.table == restored.sweep.table
    assert [(field.path, field.values) for field in spec.sweep.fields] == [
        (field.path, field.values) for field in restored.sweep.fields
    ]
    assert lock_of(spec, points) == lock_of(restored, restored_points)


def lock_of(spec: Spec, points: tuple[Spec, ...] = ()) -> Lock:
    return lock_with_paths(spec, plan_of(spec), [(point, plan_of(point)) for point in points])


def test_the_arguments_of_set_are_kept(small: SmallExperiment, tmp_path: Path) -> None:
    spec = small.spec("seed=2", "model.dropout=0.5", "seed=3")

    assert {"seed=2", "seed=3", "model.dropout=0.5"} == set(
        read_plan_file(write(spec, tmp_path / "plan.json")).assignments
    )


def test_changed_data_are_found_before_anything_is_compiled(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())
    assert () == changed_files(lock, Digests(None))

    small.write_text("train", [("one", "eins")])
    (small.folder / "test.en").unlink()
    (small.folder / "valid.de").write_bytes(b"\xff\n")

    found = {change.what.split()[1]: str(change).partition(" → ")[2] for change in changed_files(lock, Digests(None))}
    assert {"train/0/source", "train/0/target", "test/source", "valid/target"} == found.keys()
    assert found["train/0/source"].startswith("1 line ")
    assert "no such file" in found["test/source"]
    assert "not UTF-8" in found["valid/target"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"max_updates": 4', '"max_updates": 5'), "changed after it was written"),
        (lambda text: json.dumps(json.loads(text)), "changed after it was written"),
        (lambda text: text.replace('"format": 1', '"format": 2', 1), "of another format"),
        (lambda text: text[: len(text) // 2], "not JSON"),
        (lambda _: "", "not JSON"),
        (lambda _: "[" * 100_000, "not JSON"),
        (lambda _: "[1]", "no plan of specforge"),
        (lambda _: '{"format": 1, "name": "a", "spec": "b", "steps": []}', "cannot be run"),
    ],
)
def test_what_is_no_plan_file_is_refused(small: SmallExperiment, tmp_path: Path, change: object, message: str) -> None:
    path = write(small.spec(), tmp_path / "plan.json")
    assert callable(change)
    path.write_text(change(path.read_text()))

    with pytest.raises(WrongInputError, match=message) as caught:
        read_plan_file(path)

    assert ("SF113", str(path)) == (caught.value.code, caught.value.place and caught.value.place.path)


def test_a_plan_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError, match="no such file") as caught:
        read_plan_file(tmp_path / "none.json")
    assert "SF501" == caught.value.code


words = st.text('ab {[,:"\n', max_size=5)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)


@given(documents)
def test_every_value_begins_on_the_line_that_is_said(document: JsonValue) -> None:
    lines = json_text(document).decode().split("\n")

    for path, line in line_numbers(document).items():
        text = lines[line - 1].strip()
        value = document
        for part in path:
            value = value[part]  # type: ignore[index]
        first = json.dumps(value, indent=2, ensure_ascii=False).split("\n")[0]
        expected = (
            f"{json.dumps(path[-1], ensure_ascii=False)}: {first}" if path and isinstance(path[-1], str) else first
        )
        assert text.rstrip(",") == expected.rstrip(",")
