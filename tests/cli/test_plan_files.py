"""`plan -o` and `run plan.json`: exactly that plan runs, or what changed in the world is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shell import Shell
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.planning import identity

SWEEP = '\n[sweep.grid]\n"optimizer.lr" = [1e-3, 2e-3]\n'


def test_the_plan_runs_as_it_was_made(shell: Shell, small: SmallExperiment) -> None:
    shell.plan("--set", "model.dropout=0.5")
    assert "plan written to plan.json\n" == shell.errors
    planned = shell.steps("small.toml", "--set", "model.dropout=0.5")
    small.write_spec(SMALL_SPEC.replace("embed_dim = 8", "embed_dim = 16"))

    shell("run", "plan.json")

    assert "small.toml says otherwise now (model.embed_dim); the plan runs as it was made\n" in shell.errors
    assert {step: (key, "reuse") for step, (key, _) in planned.items()} == shell.steps("plan.json")
    assert {step: key for step, (key, _) in planned.items()} != {
        step: key for step, (key, _) in shell.steps("small.toml").items()
    }


def test_it_needs_no_spec(shell: Shell) -> None:
    shell.plan()
    Path("small.toml").unlink()

    said = shell("run", "plan.json")

    assert "small.toml is gone; the plan runs as it was made" in shell.errors
    assert "bleu" in said
    assert "--set" not in said  # which a plan file does not take


def test_it_says_nothing_of_a_spec_that_is_as_it_was(shell: Shell, small: SmallExperiment) -> None:
    shell.plan("--set", "seed=3")
    small.write_spec("# a comment\n" + SMALL_SPEC)

    shell("plan", "plan.json", "--no-estimates")

    assert "" == shell.errors


def test_a_spec_that_is_broken_by_now_is_no_matter(shell: Shell, small: SmallExperiment) -> None:
    shell.plan()
    small.write_spec("[[[")

    shell("plan", "plan.json", "--no-estimates")

    assert "small.toml is not valid now; the plan runs as it was made" in shell.errors


def test_the_run_keeps_its_name_and_store(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.plan("--store", "here")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")

    shell("run", "../plan.json")

    assert (Path("..") / "here" / "runs" / "small" / "scores.json").is_file()


def test_another_store_may_be_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.plan("--store", "here")

    shell("run", "plan.json", "--store", "there")
    monkeypatch.setenv("SPECFORGE_STORE", "third")
    shell("run", "plan.json", "--until", "preprocess")

    assert [False, True, True] == [Path(store).exists() for store in ("here", "there", "third")]


def test_changed_data_are_refused_by_name(shell: Shell, small: SmallExperiment) -> None:
    shell.plan("--set", "seed=2")
    small.write_text("valid", [("one", "eins")])
    (small.folder / "train.en").unlink()

    shell("run", "plan.json", code=3)

    assert "error[SF653]: the world has changed since this plan was made\n --> plan.json\n" in shell.errors
    assert f"data valid/source ({small.folder}/valid.en): 4 lines " in shell.errors
    assert f"data train/0/source ({small.folder}/train.en): 5 lines " in shell.errors
    assert "→ no such file" in shell.errors
    assert f"`specforge plan {small.folder}/small.toml --set seed=2 -o plan.json` plans anew" in shell.errors
    assert not Path(".specforge").exists()


def test_a_changed_component_is_refused_by_name(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.plan()
    from specforge.planning import steps

    monkeypatch.setattr(steps, "component_identity", lambda registered: f"{identity.component_identity(registered)}7")

    shell("run", "plan.json", code=3)

    assert "component model: specforge/transformer@1 → specforge/transformer@17" in shell.errors


def test_another_specforge_is_refused_before_the_spec_is_read(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.plan()
    from specforge.planning.lock import changes as lock_changes

    monkeypatch.setattr(lock_changes, "__version__", "9.0")

    shell("run", "plan.json", code=3)

    assert "note: specforge: 0.1.0 → 9.0\n" in shell.errors


def test_the_record_of_a_run_is_a_plan_file(shell: Shell) -> None:
    shell("run", "small.toml", "--set", "model.dropout=0.5")
    Path("small.toml").unlink()

    assert {"reuse"} == {state for _, state in shell.steps(".specforge/runs/small/plan.json").values()}


def test_the_spec_of_a_plan_is_shown(shell: Shell) -> None:
    shell.plan("--set", "model.dropout=0.5")
    keys = {step: key for step, (key, _) in shell.steps("plan.json").items()}

    Path("again.toml").write_text(shell("show", "plan.json"))

    assert keys == {step: key for step, (key, _) in shell.steps("again.toml").items()}
    Path("train.en").unlink()
    shell("show", "plan.json", code=3)
    assert "note: no such file: `train.en`\n" in shell.errors


def test_the_steps_of_a_plan_are_explained_and_its_values_by_the_spec(shell: Shell) -> None:
    shell.plan()

    assert "train will run" in shell("explain", "plan.json", "train")
    shell("explain", "plan.json", "model.dropout", code=2)
    assert "small.toml model.dropout` asks the spec" in shell.errors


def test_the_record_of_a_run_is_not_planned_over(shell: Shell, small: SmallExperiment) -> None:
    shell("run", "small.toml", "--set", "seed=2")
    small.write_text("valid", [("one", "eins")])

    shell("run", ".specforge/runs/small/plan.json", code=3)

    assert f"`specforge run {small.folder}/small.toml --set seed=2` runs what the spec says now" in shell.errors


def test_one_point_of_a_sweep_is_shown(shell: Shell, small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC + SWEEP)
    shell.plan()

    shell("show", "plan.json", code=2)
    assert "choose one with --point N, from 1 to 2" in shell.errors
    assert "\nlr = 0.002\n" in shell("show", "plan.json", "--point", "2")


def test_a_plan_file_is_no_place_for_changes(shell: Shell) -> None:
    shell.plan()

    shell("run", "plan.json", "--set", "seed=2", code=2)
    assert "error[SF115]: a plan file runs as it is and takes no `--set`" in shell.errors
    shell("run", "plan.json", "--locked", code=2)
    assert "error[SF115]" in shell.errors
    shell("lock", "plan.json", code=2)
    assert "error[SF115]" in shell.errors


@pytest.mark.parametrize(
    ("name", "words"),
    [("small.toml", "the name of a plan file ends in .json"), ("none/plan.json", "there is no such folder")],
)
def test_a_plan_is_written_where_it_can_be_run(shell: Shell, name: str, words: str) -> None:
    shell("plan", "small.toml", "--no-estimates", "-o", name, code=2)

    assert f"error[SF115]: {words}" in shell.errors
    assert SMALL_SPEC == Path("small.toml").read_text()


def test_the_record_of_a_point_knows_its_point(shell: Shell, small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC + SWEEP)
    shell("run", "small.toml", "--point", "2")

    assert {"reuse"} == {state for _, state in shell.steps(".specforge/runs/small.lr-0.002/plan.json").values()}
    assert "" == shell.errors


def test_arguments_that_mean_nothing_here_are_no_matter(
    shell: Shell, small: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.plan("--set", "data.root='.'")  # from another folder this leads nowhere
    (small.folder / "elsewhere").mkdir()
    monkeypatch.chdir(small.folder / "elsewhere")

    shell("plan", "../plan.json", "--no-estimates")

    assert "" == shell.errors


def test_warnings_are_not_repeated(shell: Shell) -> None:
    shell.plan("--set", "criterion.label_smoothing=0.9")
    assert "warning[" in shell.errors

    shell("plan", "plan.json", "--no-estimates")

    assert "" == shell.errors


def test_a_sweep_is_one_plan_file(shell: Shell, small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC + SWEEP)
    shell.plan()
    small.write_spec(SMALL_SPEC)

    said = shell("plan", "plan.json", "--no-estimates")
    assert "2 points" in said
    shell("run", "plan.json", "--point", "2")
    assert ["small.lr-0.002"] == [path.name for path in Path(".specforge/runs").iterdir()]
    shell("run", "plan.json")
    assert {"small.lr-0.001", "small.lr-0.002"} <= {path.name for path in Path(".specforge/runs").iterdir()}
    shell("run", "plan.json", "--point", "3", code=2)
    assert "error[SF128]: there is no point 3" in shell.errors


def test_the_file_is_what_its_page_says(shell: Shell, small: SmallExperiment) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "json.md").read_text()
    small.write_spec(SMALL_SPEC + SWEEP)
    shell.plan()
    document: dict[str, Any] = json.loads(Path("plan.json").read_text())

    names = {*document, *document["points"][0], *document["lock"], *document["lock"]["data"][0]}
    assert [] == [name for name in sorted(names) if f"`{name}`" not in page]
