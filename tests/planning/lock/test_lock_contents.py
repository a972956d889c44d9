"""Locks: what stands in one, and that a file gives back what was written."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from no_results import NoResults
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.foundation.errors import WrongInputError
from specforge.language.merge import leaves
from specforge.language.resolve import load_sweep
from specforge.language.spec import Spec
from specforge.planning.compile import compile_plan
from specforge.planning.lock.contents import Lock, LockedComponent, LockedStep, PointSteps, make_lock
from specforge.planning.lock.text import lock_text, read_lock
from specforge.planning.plan import Plan
from specforge.storage.digests import Digests

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib


def plan_of(spec: Spec) -> Plan:
    return compile_plan(spec, Digests(None), NoResults())


def lock_of(spec: Spec, *, portable: bool = True) -> Lock:
    return make_lock(spec, [PointSteps(spec, plan_of(spec).steps)], portable=portable)


def test_it_names_components_files_and_steps(small: SmallExperiment) -> None:
    spec = small.spec()
    lock = lock_of(spec)

    assert LockedComponent(path="model", kind="model", name="transformer", distribution="specforge", version=1) in (
        lock.component
    )
    assert [
        ("train/0/source", "train.en", 5),
        ("train/0/target", "train.de", 5),
        ("valid/source", "valid.en", 4),
        ("valid/target", "valid.de", 4),
        ("test/source", "test.en", 3),
        ("test/target", "test.de", 3),
    ] == [(file.role, file.path, file.lines) for file in lock.data]
    assert [LockedStep(id=step.id, kind=step.kind, key=step.key) for step in plan_of(spec).steps] == lock.step
    assert [] == lock.plugin


def test_it_names_every_component_that_a_key_holds(small: SmallExperiment) -> None:
    spec = small.spec("train.best_metric='bleu'", "generate.metrics=['chrf', 'ter']")
    held = {pair for step in plan_of(spec).steps for pair in step.components.items()}

    rows = lock_of(spec).component

    assert held == {(row.path, row.identity) for row in rows}
    kinds = {row.path: row.kind for row in rows}
    assert ("metric", "metric", "search") == (
        kinds["train.best_metric"],
        kinds["generate.metrics.1"],
        kinds["train.valid_search"],
    )


def test_trackers_are_not_held_to_what_is_locked(small: SmallExperiment) -> None:
    spec = small.spec('run.trackers="tensorboard"')
    tracker = spec.parts["run", "trackers", 0]
    of_a_stranger = replace(tracker, registered=replace(tracker.registered, distribution="acme"), preset="acme/quiet")
    lock = lock_of(replace(spec, parts={**spec.parts, ("run", "trackers", 0): of_a_stranger}))

    assert not [row for row in lock.component if row.kind == "tracker"]
    assert [] == lock.plugin


def test_tests_of_several_names_are_told_apart(small: SmallExperiment) -> None:
    lock = lock_of(small.spec("data.test={old = 'valid'}"))

    assert ["test/source", "test.old/source", "test/target", "test.old/target"] == [
        file.role for file in lock.data if file.role.startswith("test")
    ]


def test_no_path_of_the_machine_stands_in_it(small: SmallExperiment, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    spec = small.write_spec(SMALL_SPEC.replace('train = "train"', 'root = ".."\ntrain = "train"'), "specs/deep.toml")

    text = lock_text(lock_of(small.spec(name="specs/deep.toml")), spec.name)

    assert str(tmp_path) not in text
    assert 'path = "../train.en"' in text
    assert 'root = ".."' in text
    assert 'path = "train"' in text


def test_a_path_that_was_typed_absolute_stays_so(small: SmallExperiment, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    text = SMALL_SPEC.replace('train = "train"', f'root = "{tmp_path}"\ntrain = "train"')
    small.write_spec(text, "specs/deep.toml")

    lock = lock_of(small.spec(name="specs/deep.toml"))

    assert f"{tmp_path}/train.en" == lock.data[0].path


def test_a_place_that_is_told_by_set_is_of_this_machine_alone(small: SmallExperiment, tmp_path: Path) -> None:
    (tmp_path / "corpora").mkdir()
    for path in tmp_path.glob("*.??"):
        path.rename(tmp_path / "corpora" / path.name)

    lock = lock_of(small.spec(f"data.root='{tmp_path}/corpora'"))

    assert "train.en" == lock.data[0].path
    assert "corpora" not in lock_text(lock, "small.toml")


def test_paths_in_a_sweep_are_seen_from_the_spec(small: SmallExperiment, tmp_path: Path) -> None:
    small.write_spec(SMALL_SPEC + '[sweep.grid]\n"data.train" = ["train", "valid"]\n')
    spec, points = load_sweep(tmp_path / "small.toml")

    lock = make_lock(spec, [PointSteps(point, plan_of(point).steps, point.name) for point in points], portable=True)

    assert {"grid": {"data.train": [[{"path": "train"}], [{"path": "valid"}]]}} == lock.resolved["sweep"]
    assert ["train.en", "valid.en"] == [file.path for file in lock.data if file.role == "train/0/source"]


def test_it_holds_every_value_that_there_is(small: SmallExperiment) -> None:
    spec = small.spec("model.dropout=0.25")

    resolved = dict(leaves(lock_of(spec, portable=False).resolved))

    assert {path: value for path, value in leaves(dict(spec.tree)) if value is not None} == resolved
    assert 0.25 == resolved["model", "dropout"]


def test_a_file_gives_back_what_was_written(small: SmallExperiment, tmp_path: Path) -> None:
    spec = small.spec("optimizer.lr=1e-9", "data.test={'a.b' = 'test'}", "train.max_updates=12_000")
    path = tmp_path / "small.lock"
    lock = lock_of(spec)
    path.write_text(lock_text(lock, "small.toml"))

    assert lock == read_lock(path)
    assert path.read_text() == lock_text(lock_of(spec), "small.toml")


def test_a_file_is_plain_toml_with_one_row_a_line(small: SmallExperiment) -> None:
    text = lock_text(lock_of(small.spec()), "small.toml")

    read = tomllib.loads(text)
    assert 1 == read["format"]
    assert {"format", "specforge", "component", "data", "resolved", "step"} == read.keys()
    assert "max_updates = 4" in text.split("[resolved.train]")[1].split("\n\n")[0].split("\n")


def test_there_may_be_no_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none.lock") is None


@pytest.mark.parametrize(
    ("change", "message", "line"),
    [
        (lambda text: "<<<<<<< ours\n" + text, "this is no lock file: not TOML", 1),
        (lambda _: 'version = 1\nrequires-python = ">=3.11"\n', "this is no lock file of specforge", None),
        (lambda _: "", "this is no lock file of specforge", None),
        (lambda text: text.replace("format = 1", "format = 2"), "a lock file of another format", None),
        (lambda text: text.replace('role = "valid/source"\n', ""), "this lock file is damaged: `data.2.role`", None),
        (lambda text: text.replace("lines = 5", 'lines = "5"'), "this lock file is damaged: `data.0.lines`", None),
        (lambda _: "format = 1\n" + "a." * 20 + "a = 1\n", "this is no lock file: a key of more than 16 parts", None),
        (lambda text: text + "\nextra = 1\n", "this lock file is damaged: `step.3.extra`", None),
    ],
)
def test_what_is_no_lock_is_refused(
    small: SmallExperiment, tmp_path: Path, change: object, message: str, line: int | None
) -> None:
    path = tmp_path / "small.lock"
    assert callable(change)
    path.write_text(change(lock_text(lock_of(small.spec()), "small.toml")))

    with pytest.raises(WrongInputError, match=message) as caught:
        read_lock(path)

    assert ("SF114", str(path)) == (caught.value.code, caught.value.place and caught.value.place.path)
    assert line == (caught.value.place and caught.value.place.line)
