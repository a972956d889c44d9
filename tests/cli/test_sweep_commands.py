"""`plan`, `show`, `translate` and `diff` on a spec with a sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import JsonValue
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.cli.main import main
from specforge.execution.signals import StopRequest
from specforge.execution.sweeps import price as pricing
from specforge.language.resolve import load_spec, load_sweep
from specforge.language.spec import Spec
from specforge.planning.estimates import Estimates
from specforge.planning.plan import Plan
from specforge.storage.store import Store

SWEEP = """
[sweep.grid]
optimizer.lr = [0.1, 0.2]
generate.search.beam = [1, 2]

[[sweep.case]]
name = "wide"
model.ffn_dim = 32
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    SmallExperiment(tmp_path).write_spec(SMALL_SPEC + SWEEP, "sweep.toml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that ends well and return what it printed."""
    capsys.readouterr()
    assert 0 == main(words), capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that ends with exit code 2 and return what it said."""
    capsys.readouterr()
    assert 2 == main(words)
    return capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_a_plan_shows_what_points_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert [
        "sweep · 5 points",
        "",
        "  point   lr    beam   ffn_dim   preprocess   train   generate   score",
        "  1       0.1   1      -         run          run     run        run",
        "  2       0.1   2      -         as 1         as 1    run        run",
        "  3       0.2   1      -         as 1         run     run        run",
        "  4       0.2   2      -         as 1         as 3    run        run",
        "  5       -     -      32        as 1         run     run        run",
        "",
        "  as N: shared with point N, and run once",
        "  5 points: 1 preprocess, 3 train, 5 generate, 5 score",
    ] == printed(capsys, "plan", "sweep.toml", "--no-estimates").rstrip("\n").split("\n")


@pytest.mark.usefixtures("folder")
def test_the_plan_of_a_point_is_one_of_a_spec_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "plan", "sweep.toml", "--no-estimates", "--point", "3").startswith(
        "sweep.lr-0.2.beam-1 · 4 steps\n"
    )


@pytest.mark.usefixtures("folder")
def test_the_json_of_a_plan_has_all_points_with_their_steps(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(printed(capsys, "plan", "sweep.toml", "--no-estimates", "--json"))

    assert [1, 2, 3, 4, 5] == [point["number"] for point in document["points"]]
    assert {"optimizer.lr": 0.2, "generate.search.beam": 2} == document["points"][3]["values"]
    assert "sweep.wide" == document["points"][4]["name"]
    third = json.loads(printed(capsys, "plan", "sweep.toml", "--no-estimates", "--json", "--point", "3"))
    assert third["steps"] == document["points"][2]["steps"]
    assert {"steps": 3, "reuse": 0, "resume": 0, "run": 3} == document["shared"]["train"]
    assert {"steps": 1, "reuse": 0, "resume": 0, "run": 1} == document["shared"]["preprocess"]
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md").read_text()
    names = {*document, *document["points"][0], *document["shared"]["train"]}
    assert [] == [name for name in sorted(names) if f"`{name}`" not in page]


def fake_estimates(asked: list[Spec], **figures: JsonValue) -> object:
    def estimate(spec: Spec, plan: Plan, store: Store, stop: StopRequest) -> Estimates:
        del plan, store, stop
        asked.append(spec)
        known = {"parameters": 1, "trainable": 1, "by_part": {}, "flop_per_update": 1e6, "updates": 4, "seconds": 30.0}
        return Estimates.model_validate(known | figures)

    return estimate


@pytest.mark.usefixtures("folder")
def test_a_price_counts_each_training_once_and_asks_once_for_those_that_cost_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Spec] = []
    monkeypatch.setattr(pricing, "estimate", fake_estimates(asked, approximate=["updates"]))

    document = json.loads(printed(capsys, "plan", "sweep.toml", "--json"))

    assert {
        "trainings": 3,
        "flop": 3 * 4e6,
        "unknown": 0,
        "seconds": 90.0,
        "untimed": 0,
        "approximate": True,
    } == document["price"]
    # another learning rate costs the same; a wider layer does not
    assert ["sweep.lr-0.1.beam-1", "sweep.wide"] == [spec.name for spec in asked]
    assert [
        "  left to train: ≈ 1.2e+07 FLOP",
        "  in about 90 s, one after the other on this host",
    ] == printed(capsys, "plan", "sweep.toml").rstrip("\n").split("\n")[-2:]


@pytest.mark.usefixtures("folder")
def test_updates_that_are_done_cost_nothing_any_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pricing, "estimate", fake_estimates([], updates_done=3))

    assert 3 * 1e6 == json.loads(printed(capsys, "plan", "sweep.toml", "--json"))["price"]["flop"]


@pytest.mark.usefixtures("folder")
def test_a_price_says_what_it_does_not_know(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pricing, "estimate", fake_estimates([], updates=None, seconds=None))

    said = printed(capsys, "plan", "sweep.toml").rstrip("\n").split("\n")

    assert "  left to train: nobody knows how many updates" == said[-1]


@pytest.mark.parametrize(("point", "number"), [((), None), (("--point", "2"), 2)])
def test_what_show_prints_loads_to_the_same_points(
    capsys: pytest.CaptureFixture[str], folder: Path, point: Sequence[str], number: int | None
) -> None:
    shown = printed(capsys, "show", "sweep.toml", *point)
    (folder / "elsewhere").mkdir()
    copy = folder / "elsewhere" / "copy.toml"
    copy.write_text(shown)

    def trees(path: Path) -> list[JsonValue]:
        if number is not None and path != copy:
            return [dict(load_spec(path, point=number).tree)]
        spec, points = load_sweep(path)
        return [dict(one.tree) for one in (spec, *points)]

    assert trees(folder / "sweep.toml") == trees(copy)


@pytest.mark.usefixtures("folder")
def test_sweeps_are_left_aside_by_diff(capsys: pytest.CaptureFixture[str]) -> None:
    assert "same plan" in printed(capsys, "diff", "sweep.toml", "small.toml", "--exit-code")


@pytest.mark.usefixtures("folder")
def test_where_one_point_is_needed_a_sweep_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "translate", "sweep.toml")

    assert "error[SF128]: the sweep of this spec has 5 points\n  = help: choose one with --point N\n" == said


def test_the_plan_of_a_point_may_be_written_to_a_file(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    printed(capsys, "plan", "sweep.toml", "--point", "4", "--no-estimates", "-o", "plan.json")

    assert "sweep.lr-0.2.beam-2" == json.loads((folder / "plan.json").read_text())["name"]
    assert printed(capsys, "plan", "plan.json", "--no-estimates").startswith("sweep.lr-0.2.beam-2 · 4 steps\n")
