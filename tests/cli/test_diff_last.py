"""`specforge diff A` alone: a spec next to the plan of its last run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_experiment import SmallExperiment

from specforge.cli.main import main
from specforge.execution.prepare import prepare
from specforge.planning.plan_json import plan_json
from specforge.storage.digests import Digests
from specforge.storage.store import Store

ALL = ["preprocess", "train", "generate.test", "score.test"]


def keep_plan(small: SmallExperiment, *assignments: str) -> None:
    """Leave behind what a run of the small experiment keeps of its plan."""
    store = Store(small.folder / "store")
    folder = store.run_folder("small")
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps(plan_json(prepare(small.spec(*assignments), store, Digests(None)))))


def diff(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert code == main(["diff", "small.toml", "--store", "store", *words])
    captured = capsys.readouterr()
    return captured.out if code < 2 else captured.err


def test_an_untouched_spec_is_the_same_plan(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    keep_plan(small)

    assert "same plan\n" == diff(capsys, "--exit-code")


def test_changes_name_value_place_and_who_reads_them(
    small: SmallExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_plan(small, "data.test={test = 'test', more = 'valid'}")
    path = small.folder / "small.toml"
    path.write_text(path.read_text().replace("max_updates = 4", "max_updates = 8"))
    line = path.read_text().split("\n").index("max_updates = 8") + 1

    shown = diff(capsys, "--exit-code", "--set", "criterion='cross_entropy'", code=1)

    rows = [" ".join(row.split()) for row in shown.split("\n")]
    assert f"~ train.max_updates 4 8 :{line}:15 train" in rows
    assert "~ criterion specforge/label_smoothed_cross_entropy@1 specforge/cross_entropy@1 train" in rows
    fates = {row.split()[0]: " ".join(row.split()[3:]) for row in rows if row.split()[:1] and row.split()[0][0] != "~"}
    assert ("the same", "runs", "is not there any more") == (fates["preprocess"], fates["train"], fates["score.more"])


def test_what_one_step_reads_names_that_step(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    keep_plan(small)
    small.write_text("train", [("one two", "eins zwei"), ("two", "zwei")])

    found = json.loads(diff(capsys, "--set", "preprocess.max_ratio=2.0", "--json"))

    assert not found["same_plan"]
    assert [
        ("field", ["preprocess", "max_ratio"], ["preprocess"]),
        ("input", "train/0/source", ["preprocess"]),
        ("input", "train/0/target", ["preprocess"]),
    ] == [(next(iter(change)), next(iter(change.values())), change["steps"]) for change in found["changes"]]
    assert ALL == [step["id"] for step in found["steps"]]
    assert all(step["last"] != step["now"] and step["state"] == "run" for step in found["steps"])


def test_a_value_of_all_steps_names_them_all(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    keep_plan(small)

    found = json.loads(diff(capsys, "--set", "task.source='de'", "--set", "task.target='en'", "--json"))

    steps = {".".join(change["field"]): change["steps"] for change in found["changes"] if "field" in change}
    assert {"task.source": ALL, "task.target": ALL} == steps


def test_changed_data_are_named_with_digests_and_lines(
    small: SmallExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_plan(small)
    small.write_text("test", [("one two", "eins zwei"), ("two", "zwei")])

    shown = diff(capsys)

    (row,) = (row for row in shown.split("\n") if "test/source" in row)
    assert "3 lines" in row
    assert "2 lines" in row
    assert row.endswith("generate.test")


def test_the_page_of_the_json_names_all_of_it(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    keep_plan(small)
    found = json.loads(diff(capsys, "--set", "seed=2", "--set", "criterion='cross_entropy'", "--json"))
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md").read_text()

    names = {*found, *found["steps"][0], *(name for change in found["changes"] for name in change)}
    assert [] == [name for name in sorted(names) if f"`{name}`" not in page]


def test_without_a_run_there_is_nothing_to_compare_with(
    small: SmallExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    said = diff(capsys, code=2)

    assert "SF150" in said
    assert "specforge run small.toml --store store" in said
    assert str(small.folder) in said


def test_a_broken_plan_is_no_run(small: SmallExperiment, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small.folder / "store" / "runs" / "small"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text('{"format": 1, "steps": [')

    assert "SF150" in diff(capsys, code=2)
