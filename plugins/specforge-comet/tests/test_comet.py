"""COMET with a stand-in for its library and a stub for its model: no model can be downloaded where tests run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import JsonValue
from specforge_comet.config import CometConfig
from specforge_comet.metric import build

from specforge.cli.metric_arguments import chosen_metrics
from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import SilentReporter
from specforge.language.messages.diagnostics import SpecError
from specforge.language.registry import config_class, load_registry
from specforge.language.resolve import load_spec
from specforge.planning.keys import identity_values
from specforge.plugin import MetricConfig
from specforge.steps import score

STUB = Path(__file__).parent / "stub"
SOURCES = ["ein Haus", "zwei"]
SPEC = """
specforge = 1
task = { use = "translation", source = "en", target = "de" }
data = { train = "t", valid = "t", test = "t" }
model = "transformer"
"""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Put the stand-in in the library's place; return the sizes of what its models were asked."""
    monkeypatch.syspath_prepend(str(STUB))
    monkeypatch.delitem(sys.modules, "comet", raising=False)
    import comet

    comet.CALLS.clear()
    yield comet.CALLS
    sys.modules.pop("comet", None)


def checkpoint(folder: Path, *, references: bool = True) -> str:
    path = folder / "model.ckpt"
    path.write_text(json.dumps({"references": references}))
    return str(path)


def test_it_is_declared_and_looks_at_sources() -> None:
    registered = load_registry().find("metric", "comet").registered
    config = config_class(registered)

    assert "specforge-comet" == registered.distribution
    assert issubclass(config, MetricConfig)
    assert config.needs_sources


def test_the_score_is_the_mean_over_lines_and_says_by_which_file(tmp_path: Path, library: list[int]) -> None:
    path = checkpoint(tmp_path)
    metric = build(CometConfig(checkpoint=path)).with_sources(SOURCES)

    found = metric.score(["a house", "zwei"], [["a big house", "two"]])

    # two of three words; none, but the source itself
    assert 100 * (2 / 3 + 1) / 2 == pytest.approx(found.value)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
    assert f"comet|model:Unbabel/wmt22-comet-da|sha256:{digest}|nrefs:1|unbabel-comet:" in found.signature
    assert [200 / 3, 100.0] == pytest.approx(metric.sentence_scores(["a house", "zwei"], [["a big house", "two"]]))
    assert [2] == library  # asked once, though two wanted to know


def test_of_several_references_the_mean_counts(tmp_path: Path, library: list[int]) -> None:
    metric = build(CometConfig(checkpoint=checkpoint(tmp_path))).with_sources(["x"])

    found = metric.score(["a b"], [["a b"], ["a c"]])

    assert 75.0 == pytest.approx(found.value)
    assert "nrefs:2" in found.signature
    assert [1, 1] == library


@pytest.mark.usefixtures("library")
def test_a_model_that_needs_no_references_gets_none(tmp_path: Path) -> None:
    metric = build(CometConfig(checkpoint=checkpoint(tmp_path, references=False))).with_sources(["a b"])

    assert 50.0 == metric.score(["a"], [["anything"]]).value


@pytest.mark.usefixtures("library")
def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInputError) as caught:
        build(CometConfig(checkpoint=str(tmp_path / "gone"))).with_sources(["a"]).score(["a"], [["a"]])
    assert "SF501" == caught.value.code


def test_where_a_model_lies_is_no_part_of_a_key() -> None:
    here, there = (CometConfig(checkpoint=f"/{name}", gpus=number) for number, name in enumerate("ab"))
    assert identity_values(here) == identity_values(there) == {"model": "Unbabel/wmt22-comet-da"}


@pytest.mark.usefixtures("library")
def test_the_score_step_shows_it_the_sources(tmp_path: Path) -> None:
    (tmp_path / "hypotheses.txt").write_text("a house\nzwei\n")
    files = {"source": "ein Haus\nzwei\n", "target": "a big house\ntwo\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    corpus = CorpusJob(role="test", format="text", files={name: str(tmp_path / name) for name in files})
    settings: dict[str, JsonValue] = {
        "task": {"use": "specforge/translation", "source": "de", "target": "en"},
        "tokenizer": {"use": "specforge/whitespace"},
        "metrics": [{"use": "specforge-comet/comet", "checkpoint": checkpoint(tmp_path)}],
        "bootstrap": 50,
        "seed": 1,
    }
    needs: JsonValue = {"generate": str(tmp_path)}
    job = {"id": "score.test", "kind": "score", "settings": settings, "needs": needs, "output": str(tmp_path)}

    score.run(Job.model_validate(job).model_copy(update={"corpora": [corpus]}), SilentReporter())

    (found,) = json.loads((tmp_path / "scores.json").read_bytes())["scores"]
    assert 100 * (2 / 3 + 1) / 2 == pytest.approx(found["value"])
    assert 50 == found["interval"]["resamples"]


def test_validation_cannot_be_judged_by_it(tmp_path: Path) -> None:
    for suffix in ("en", "de"):
        (tmp_path / f"t.{suffix}").write_text("a\n")
    (tmp_path / "spec.toml").write_text(f'{SPEC}train = {{ max_updates = 10_000, best_metric = "comet" }}\n')

    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "spec.toml")
    assert "SF524" in {diagnostic.code for diagnostic in caught.value.diagnostics}


@pytest.mark.skipif(find_spec("comet") is not None, reason="the library is installed here")
def test_a_missing_library_is_told_at_once() -> None:
    with pytest.raises(WrongInputError, match="needs a package") as caught:
        chosen_metrics(["comet"])
    assert ("SF681", "type `pip install 'specforge-comet[comet]'`") == (caught.value.code, caught.value.help)


def test_evaluate_asks_for_the_source_and_then_scores(tmp_path: Path) -> None:
    for name, text in {"out": "a house\nzwei\n", "ref": "a big house\ntwo\n", "src": "ein Haus\nzwei\n"}.items():
        (tmp_path / name).write_text(text)
    metric = f'{{ use = "comet", checkpoint = "{checkpoint(tmp_path)}" }}'
    words = ["evaluate", "--hypotheses", "out", "--references", "ref", "--metric", metric, "--bootstrap", "0"]

    def specforge(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "specforge", *words, *more],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(STUB)},
            capture_output=True,
            text=True,
            check=False,
        )

    without, found = specforge(), specforge("--source", "src")

    assert 2 == without.returncode
    assert "error[SF732]: the metric `comet` looks at what was translated" in without.stderr
    assert "COMET = 83.33 (Unbabel/wmt22-comet-da)" == found.stdout.splitlines()[0], found.stderr
