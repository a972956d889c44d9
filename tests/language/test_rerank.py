"""`generate.rerank` in a spec: one of two ways, a folder that is there, and keys that it counts in."""

from __future__ import annotations

from pathlib import Path

import pytest
from no_results import NoResults
from small_experiment import SmallExperiment
from spec_model_folder import spec_model_folder

from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.resolve import load_spec
from specforge.language.text.tree_text import resolved_text
from specforge.planning.compile import compile_plan
from specforge.storage.digests import Digests


@pytest.fixture
def several(small: SmallExperiment) -> SmallExperiment:
    for name, model in (("a", "transformer"), ("b", "transformer"), ("lm", "transformer_lm")):
        spec_model_folder(small.folder / "models" / name, model)
    return small


def fault(small: SmallExperiment, rerank: str, *more: str) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        small.spec(f"generate.rerank={rerank}", *more)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("rerank", "code", "message"),
    [
        ("{}", "SF102", "nothing says how to rerank: `path` or `utility`"),
        ("{ path = 'models/a', utility = 'chrf' }", "SF301", "`path` and `utility` exclude each other"),
        ("{ utility = 'chrf', weight = 0.5 }", "SF301", "`weight` does nothing here"),
        ("{ utility = 'chrf', direction = 'reverse' }", "SF301", "`direction` does nothing here"),
        ("{ path = 'models/a', weigh_by = 'probability' }", "SF301", "`weigh_by` does nothing here"),
        ("{ path = 'models/gone' }", "SF501", "no such folder: `models/gone`"),
        (
            "{ path = 'models/lm' }",
            "SF701",
            "`models/lm` holds a language model, and `rerank` needs an encoder-decoder",
        ),
    ],
)
def test_what_is_wrong_is_said(
    several: SmallExperiment, monkeypatch: pytest.MonkeyPatch, rerank: str, code: str, message: str
) -> None:
    monkeypatch.chdir(several.folder)  # where `--set` starts

    found = fault(several, rerank)

    assert (code, message) == (found.code, found.message)


def test_a_resolved_spec_loads_to_the_same(several: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(several.folder)
    for rerank in ("{ path = 'models/a', direction = 'reverse', weight = 0.5 }", "{ utility = 'bleu' }"):
        spec = several.spec(f"generate.rerank={rerank}")

        again = load_spec(several.folder / "other.toml", text=resolved_text(spec))

        assert spec.generate.rerank == again.generate.rerank
        path = None if again.generate.rerank is None else again.generate.rerank.path
        assert path is None or Path(path) == several.folder / "models" / "a"


def keys(small: SmallExperiment, *assignments: str) -> dict[str, str]:
    return {step.id: step.key for step in compile_plan(small.spec(*assignments), Digests(None), NoResults()).steps}


def test_how_outputs_are_ranked_counts_and_where_a_model_lies_does_not(
    several: SmallExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(several.folder)
    plain, by_model = keys(several), keys(several, "generate.rerank={path='models/a'}")
    (several.folder / "models" / "a").rename(several.folder / "elsewhere")

    assert by_model == keys(several, "generate.rerank={path='elsewhere'}")
    others = [keys(several, f"generate.rerank={each}") for each in ("{utility='chrf'}", "{path='elsewhere', weight=2}")]
    for other in (by_model, *others):
        assert {"generate.test", "score.test"} == {name for name in plain if plain[name] != other[name]}
    assert 4 == len({each["generate.test"] for each in (plain, by_model, *others)})


def test_ctranslate2_reranks_nothing(several: SmallExperiment) -> None:
    with pytest.raises(SpecError) as caught:
        several.spec("generate.rerank={utility='chrf'}", "generate.engine='ctranslate2'")

    assert any("reranking" in diagnostic.message for diagnostic in caught.value.diagnostics)
