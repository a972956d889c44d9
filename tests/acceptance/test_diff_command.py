"""`specforge diff` on two small experiments that have run, with the real engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from digits import specforge
from small_experiment import SMALL_SPEC, SmallExperiment

# a test that is long enough to tell something, and metrics of both kinds
_SPEC = SMALL_SPEC.replace("max_updates = 4", "max_updates = 8").replace(
    "[train]", '[generate]\nmetrics = ["bleu", "exact_match"]\n\n[train]'
)
_TOP_KEYS = ("estimates", "checkpoint", "scores", "validations", "same_fields", "sweeps_left_aside")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> SmallExperiment:
    """Two experiments, `small.toml` and `other.toml`, in one store; `unrun.toml` has not been run."""
    small = SmallExperiment(tmp_path_factory.mktemp("both"))
    small.write_text("test", [(f"one two {number}", f"eins zwei {number}") for number in range(40)])
    small.write_spec(_SPEC)
    small.write_spec('specforge = 1\nextends = "small.toml"\ncriterion = "cross_entropy"\nseed = 2\n', "other.toml")
    small.write_spec('specforge = 1\nextends = "small.toml"\nmodel = { embed_dim = 16 }\n', "unrun.toml")
    for name in ("small.toml", "other.toml"):
        result = specforge("run", name, "--store", "store", cwd=small.folder)
        assert result.returncode == 0, result.stderr
    return small


def diff(both: SmallExperiment, *words: str) -> subprocess.CompletedProcess[str]:
    result = specforge("diff", *words, "--store", "store", cwd=both.folder)
    assert result.returncode == 0, result.stderr
    return result


def as_json(both: SmallExperiment, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(diff(both, *words, "--json").stdout)
    return found


@pytest.fixture(scope="module")
def difference(both: SmallExperiment) -> dict[str, Any]:
    """The difference of the two that have run, as JSON."""
    return as_json(both, "small.toml", "other.toml", "--no-estimates")


@pytest.fixture(scope="module")
def models(both: SmallExperiment) -> dict[str, Any]:
    """The difference of two models, as JSON."""
    return as_json(both, "small.toml", "unrun.toml")


def test_two_that_have_run_are_compared_by_their_scores(both: SmallExperiment, difference: dict[str, Any]) -> None:
    found = difference

    stored = {name: scores(both, name) for name in ("small", "other")}
    for score in found["scores"]:
        assert {"a": "test", "b": "test"} == score["test"]
        assert (stored["small"][score["metric"]], stored["other"][score["metric"]]) == (score["a"], score["b"])
        assert score["b"] - score["a"] == score["difference"]
        assert (score["difference"] == 0) == (score["p_value"] is None)
    assert ["bleu", "exact_match"] == [score["metric"] for score in found["scores"]]


def scores(both: SmallExperiment, run: str) -> dict[str, float]:
    listed = json.loads((both.folder / "store" / "runs" / run / "scores.json").read_bytes())["scores"]["test"]
    return {score["name"]: score["value"] for score in listed}


def test_the_validations_are_those_of_the_histories(both: SmallExperiment, difference: dict[str, Any]) -> None:
    found = difference
    histories = {
        path.parent.name: json.loads(path.read_bytes())
        for path in (both.folder / "store" / "objects" / "train").glob("*/history.json")
    }
    train = next(step for step in found["steps"] if step["id"] == "train")
    for side in ("a", "b"):
        history, curve = histories[train[side]], found["validations"][side]
        assert [2, 4, 6, 8] == [one["updates"] for one in curve["validations"]]
        assert [one["valid"] for one in history["validations"]] == [one["figures"] for one in curve["validations"]]
        assert (history["best_updates"], True) == (curve["best_updates"], curve["done"])
    assert ["the criterions differ: compare ppl, not loss"] == found["validations"]["remarks"]


def test_people_see_scores_and_validations(both: SmallExperiment) -> None:
    shown = diff(both, "small.toml", "other.toml", "--no-estimates").stdout

    rows = {row.split()[0]: row.split() for row in shown.split("\n") if row.startswith("  ")}
    assert ["validation", "loss", "ppl"] == rows["validation"]
    assert ["updates", "small.toml", "other.toml", "small.toml", "other.toml"] == rows["updates"]
    assert {"2", "4", "6", "8", "best"} <= rows.keys()
    assert 2 == sum(row.startswith("  test ") and ("p = " in row or "equal" in row) for row in shown.split("\n"))
    assert "parameters" not in shown
    assert "checkpoint" not in shown


def test_two_models_are_compared_tensor_by_tensor(models: dict[str, Any]) -> None:
    first, second, checkpoint = models["estimates"]["a"], models["estimates"]["b"], models["checkpoint"]

    assert first["parameters"] < second["parameters"]
    assert first["flop_per_update"] < second["flop_per_update"]
    assert (False, [["model", "embed_dim"]]) == (checkpoint["loads"], checkpoint["causes"])
    assert (True, {}) == (checkpoint["same_vocabulary"], checkpoint["vocabulary"])
    for name, shape in checkpoint["reshaped"].items():
        assert (first["tensors"][name], second["tensors"][name]) == (shape["a"], shape["b"])
    assert len(checkpoint["reshaped"]) + checkpoint["alike"] == len(first["tensors"])
    assert ([], []) == (checkpoint["only_a"], checkpoint["only_b"])
    assert models["validations"] is None
    assert all(score["b"] is None and score["a"] is not None for score in models["scores"])


def test_without_estimates_nothing_imports_torch(both: SmallExperiment) -> None:
    program = (
        "import sys\n"
        "from specforge.cli.main import main\n"
        "code = main(['diff', 'small.toml', 'unrun.toml', '--no-estimates', '--store', 'store'])\n"
        "print(code, sorted({'torch', 'numpy', 'sacrebleu', 'sentencepiece'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=both.folder, capture_output=True, text=True, check=True
    )

    assert "0 []\n" == result.stderr


def test_the_json_is_what_its_page_says(difference: dict[str, Any], models: dict[str, Any]) -> None:
    found = difference
    page = (Path(__file__).parent.parent.parent / "docs" / "reference" / "json.md").read_text()

    assert set(_TOP_KEYS) <= set(found)
    parts = [found, found["steps"][0], found["fields"][0], models["checkpoint"], found["scores"][0]]
    parts += [found["validations"], found["validations"]["a"], found["validations"]["a"]["validations"][0]]
    names = sorted({name for part in parts for name in part})
    assert [] == [name for name in names if f"`{name}`" not in page]
