"""Differences from a lock: each is named by its cause, and keys only where nothing else explains theirs."""

from __future__ import annotations

import importlib.metadata

import pytest
from no_results import NoResults
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.language.spec import Spec
from specforge.planning.compile import compile_plan
from specforge.planning.lock import changes as lock_changes
from specforge.planning.lock.changes import Change, compare, installed_changes
from specforge.planning.lock.contents import Lock, LockedPlugin, PointSteps, make_lock
from specforge.storage.digests import Digests


def lock_of(spec: Spec) -> Lock:
    plan = compile_plan(spec, Digests(None), NoResults())
    return make_lock(spec, [PointSteps(spec, plan.steps)], portable=True)


def changes(small: SmallExperiment, *assignments: str, locked: Lock | None = None) -> tuple[Change, ...]:
    spec = small.spec(*assignments)
    return compare(locked or lock_of(small.spec()), lock_of(spec), spec)


def words(found: tuple[Change, ...]) -> list[str]:
    return [str(change) for change in found]


def test_a_spec_agrees_with_its_own_lock(small: SmallExperiment) -> None:
    assert () == changes(small)


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("model.dropout=0.5", ["model.dropout: 0.1 → 0.5 (--set model.dropout=0.5)"]),
        ("train.patience=3", ["train.patience: unset → 3 (--set train.patience=3)"]),
        (
            "lr_scheduler='fixed'",  # whose fields are others: the name says it all
            ['lr_scheduler.use: "inverse_sqrt" → "fixed" (--set lr_scheduler=\'fixed\')'],
        ),
        (
            "generate.metrics=['bleu', 'chrf']",
            ["generate.metrics.1.use: unset → \"chrf\" (--set generate.metrics=['bleu', 'chrf'])"],
        ),
    ],
)
def test_a_field_is_named_with_what_sets_it(small: SmallExperiment, assignment: str, expected: list[str]) -> None:
    found = changes(small, assignment)

    assert expected == words(found)
    assert [("spec", True)] == [(change.cause, change.matters) for change in found]


def test_a_field_is_named_with_its_line(small: SmallExperiment) -> None:
    locked = lock_of(small.spec())
    small.write_spec(SMALL_SPEC.replace("max_updates = 4", "max_updates = 8"))
    line = SMALL_SPEC.split("\n").index("max_updates = 4") + 1

    (change,) = changes(small, locked=locked)

    assert str(change).startswith("train.max_updates: 4 → 8 (")
    assert str(change).endswith(f"small.toml:{line}:15)")


@pytest.mark.parametrize(
    "assignment",
    [
        "name='other'",
        "run.devices=2",
        "generate.batch_tokens=100",
        "train.checkpoint_every='1 minute'",
        "model.use='specforge/transformer'",
    ],
)
def test_what_changes_no_result_does_not_matter(small: SmallExperiment, assignment: str) -> None:
    found = changes(small, assignment)

    assert [assignment.partition("=")[0]] == [change.what for change in found]
    assert not any(change.matters for change in found)


@pytest.mark.parametrize("others", [["run.devices=2"], ["generate.batch_tokens=100"]])
def test_it_does_not_matter_beside_what_does_either(small: SmallExperiment, others: list[str]) -> None:
    found = {change.what: change.matters for change in changes(small, "seed=2", *others)}

    assert {"seed": True, others[0].partition("=")[0]: False} == found


def test_a_preset_of_another_name_is_its_values(small: SmallExperiment) -> None:
    found = changes(small, "model.use='transformer_tiny'")

    assert {"model.use": False} == {change.what: change.matters for change in found if change.what == "model.use"}
    assert "model.encoder_layers" not in {change.what for change in found if not change.matters}


def test_changed_data_are_named_with_lines_and_digests(small: SmallExperiment) -> None:
    locked = lock_of(small.spec())
    small.write_text("test", [("one", "eins")])
    now = lock_of(small.spec())

    found = changes(small, locked=locked)

    digests = [next(file.digest[:8] for file in lock.data if file.role == "test/source") for lock in (locked, now)]
    assert f"data test/source (test.en): 3 lines {digests[0]} → 1 line {digests[1]}" == words(found)[0]
    assert ["data", "data"] == [change.cause for change in found]  # no keys: they follow


def test_data_that_moved_are_the_same_data(small: SmallExperiment) -> None:
    locked = lock_of(small.spec())
    small.write_text("moved", [(f"{en} train", f"{de} train") for en, de in PAIRS])

    found = changes(small, "data.train='moved'", locked=locked)

    assert [
        "data train/0/source: train.en → moved.en",
        "data train/0/target: train.de → moved.de",
    ] == words(found)
    assert not any(change.matters for change in found)


PAIRS = [("one", "eins"), ("two", "zwei"), ("three", "drei"), ("four", "vier"), ("five", "fünf")]


def test_data_may_be_new_or_gone(small: SmallExperiment) -> None:
    found = words(changes(small, "data.test={test = 'test', new = 'valid'}"))

    assert any(line.startswith("data test.new/source (valid.en): 4 lines") and line.endswith("new") for line in found)


def renewed(lock: Lock, path: str, **update: object) -> Lock:
    rows = [row.model_copy(update=update) if row.path == path else row for row in lock.component]
    return lock.model_copy(update={"component": rows})


def test_a_component_of_another_version_belongs_to_the_plugins(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())

    (change,) = compare(renewed(lock, "model", version=7), lock, small.spec())

    assert "component model: specforge/transformer@7 → specforge/transformer@1" == str(change)
    assert ("plugins", True) == (change.cause, change.matters)


def test_a_name_that_means_another_component_now_is_told(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())

    (change,) = compare(renewed(lock, "model", distribution="acme"), lock, small.spec())

    assert "component model: acme/transformer@1 → specforge/transformer@1" == str(change)


def test_a_default_that_changed_with_the_version_belongs_to_the_plugins(small: SmallExperiment) -> None:
    now = lock_of(small.spec())
    tables = {**now.resolved, "optimizer": {**_table(now, "optimizer"), "eps": 0.5, "lr": 0.25}}
    steps = [step.model_copy(update={"key": "0" * 64}) for step in now.step]
    locked = renewed(now, "optimizer", version=7).model_copy(update={"resolved": tables, "step": steps})

    spec = small.spec("optimizer.lr=0.125")
    found = {change.what: change.cause for change in compare(locked, lock_of(spec), spec)}

    assert {"component optimizer": "plugins", "optimizer.eps": "plugins", "optimizer.lr": "spec"} == found


def _table(lock: Lock, name: str) -> dict[str, object]:
    table = lock.resolved[name]
    assert isinstance(table, dict)
    return dict(table)


def test_a_spec_without_a_name_may_be_renamed(small: SmallExperiment) -> None:
    locked = lock_of(small.spec())
    small.write_spec(SMALL_SPEC, "other.toml")
    other = small.spec(name="other.toml")

    assert () == compare(locked, lock_of(other), other)


def test_code_that_changed_is_told_once(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())
    before, after = (
        renewed(with_plugin(lock, "1.0", digest * 16), "model", distribution="acme", digest=digest * 16)
        for digest in "ab"
    )

    assert ["plugin acme: 1.0, code aaaaaaaa → 1.0, code bbbbbbbb"] == words(compare(before, after, small.spec()))


def test_a_field_that_moves_no_key_does_not_matter(small: SmallExperiment) -> None:
    now = lock_of(small.spec())
    table = {name: value for name, value in _table(now, "optimizer").items() if name != "eps"}
    locked = now.model_copy(update={"resolved": {**now.resolved, "optimizer": table}})  # from before there was an `eps`

    (change,) = compare(locked, now, small.spec())

    assert "optimizer.eps: unset → 1e-08 (default)" == str(change)
    assert not change.matters


def test_another_specforge_is_a_difference(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())

    (change,) = compare(lock.model_copy(update={"specforge": "0.0.9"}), lock, small.spec())

    assert f"specforge: 0.0.9 → {lock.specforge}" == str(change)
    assert change.matters


def test_keys_are_named_only_where_nothing_else_explains_them(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())
    moved = [step.model_copy(update={"key": "f" * 64}) if step.id == "train" else step for step in lock.step]

    (change,) = compare(lock.model_copy(update={"step": moved}), lock, small.spec())

    key = next(step.key for step in lock.step if step.id == "train")
    assert f"step train: ffffffff → {key[:8]}" == str(change)


def with_plugin(lock: Lock, version: str, digest: str | None = None) -> Lock:
    return lock.model_copy(update={"plugin": [LockedPlugin(name="acme", version=version, digest=digest)]})


def test_a_plugin_of_another_version_or_code(small: SmallExperiment) -> None:
    lock = lock_of(small.spec())
    spec = small.spec()

    assert ["plugin acme: 1.0 → 2.0"] == words(compare(with_plugin(lock, "1.0"), with_plugin(lock, "2.0"), spec))
    before, after = with_plugin(lock, "1.0", "a" * 16), with_plugin(lock, "1.0", "b" * 16)
    assert ["plugin acme: 1.0, code aaaaaaaa → 1.0, code bbbbbbbb"] == words(compare(before, after, spec))
    assert ["plugin acme: 1.0, which is gone"] == words(compare(with_plugin(lock, "1.0"), lock, spec))


def test_installed_versions_are_compared_from_their_metadata(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lock_of(small.spec())
    assert () == installed_changes(lock)
    assert ["plugin acme: 1.0, which is gone"] == words(installed_changes(with_plugin(lock, "1.0")))

    monkeypatch.setattr(lock_changes, "installed_plugin", lambda name: LockedPlugin(name=name, version="2.0"))
    assert ["plugin acme: 1.0 → 2.0"] == words(installed_changes(with_plugin(lock, "1.0")))


def test_it_says_what_is_installed() -> None:
    from specforge.planning.lock.contents import installed_plugin

    assert importlib.metadata.version("pydantic") == installed_plugin("pydantic").version
    assert installed_plugin("pydantic").digest is None
