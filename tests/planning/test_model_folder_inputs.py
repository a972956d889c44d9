"""Model folders in keys: by what is in them, and not by where they are; results from before they existed keep their keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from no_results import NoResults
from small_experiment import SmallExperiment
from spec_model_folder import spec_model_folder

from specforge.execution.jobs import step_corpora
from specforge.language.messages.diagnostics import SpecError
from specforge.planning.comparison.variation import Variant, changes, vary
from specforge.planning.compile import compile_plan, keyed_steps
from specforge.planning.explanation.reach import reach
from specforge.planning.inputs import inspect_inputs
from specforge.planning.lock.contents import PointSteps, make_lock
from specforge.storage.digests import Digests

LAST = ("generate.test", "score.test")
FUSED = "generate.language_model={path='lm', weight=0.3}"


@pytest.fixture
def folders(small: SmallExperiment) -> SmallExperiment:
    for name, model in (("a", "transformer"), ("b", "fconv"), ("lm", "transformer_lm")):
        spec_model_folder(small.folder / name, model)
    return small


def keys(small: SmallExperiment, *assignments: str) -> dict[str, str]:
    return {step.id: step.key for step in compile_plan(small.spec(*assignments), Digests(None), NoResults()).steps}


def moved(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    return tuple(name for name in before if before[name] != after[name])


def test_no_other_key_depends_on_them(folders: SmallExperiment) -> None:
    plain = keys(folders)

    assert plain == keys(folders, "generate.ensemble=[]", "generate.checkpoint=['best']")
    assert moved(plain, keys(folders, "generate.ensemble=['a']")) == LAST
    assert moved(plain, keys(folders, FUSED)) == LAST
    assert moved(plain, keys(folders, "generate.checkpoint=['best', 'last']")) == LAST


def test_what_is_in_a_folder_counts_and_its_place_does_not(folders: SmallExperiment) -> None:
    before = keys(folders, "generate.ensemble=['a']", FUSED)
    (folders.folder / "a").rename(folders.folder / "elsewhere")

    assert before == keys(folders, "generate.ensemble=['elsewhere']", FUSED)
    assert moved(before, keys(folders, "generate.ensemble=['b']", FUSED)) == LAST

    (folders.folder / "lm" / "SHA256SUMS").write_text("trained anew\n")

    assert moved(before, keys(folders, "generate.ensemble=['elsewhere']", FUSED)) == LAST


def test_the_weight_counts(folders: SmallExperiment) -> None:
    assert moved(keys(folders, FUSED), keys(folders, FUSED.replace("0.3", "0.4"))) == LAST


@pytest.mark.parametrize("path", [("generate", "ensemble"), ("generate", "language_model", "path")])
@pytest.mark.parametrize("assignments", [("generate.ensemble=['a', 'b']", FUSED), (FUSED,)])
def test_explain_knows_which_steps_read_them(
    folders: SmallExperiment, path: tuple[str, ...], assignments: tuple[str, ...]
) -> None:
    spec = folders.spec(*assignments)

    found = reach(path, Variant(spec, inspect_inputs(spec, Digests(None))))

    assert ("generate.test",) == tuple(found.own)


def test_diff_takes_over_a_folder_with_what_it_holds(folders: SmallExperiment) -> None:
    plain, other = folders.spec(), folders.spec("generate.ensemble=['a']", FUSED)
    before, after = (Variant(spec, inspect_inputs(spec, Digests(None))) for spec in (plain, other))

    assert {("generate", "ensemble"), ("generate", "language_model")} == set(changes(plain, other))
    variant = before
    for path in changes(plain, other):
        variant = vary(path, variant, after)
    expected = [step.key for step in keyed_steps(other, after.inputs)]
    assert expected == [step.key for step in keyed_steps(variant.spec, variant.inputs)]


def test_a_lock_names_folders_from_the_spec(folders: SmallExperiment) -> None:
    folders.write_spec(
        (folders.folder / "small.toml").read_text()
        + '\n[generate]\nensemble = ["a", "b"]\nlanguage_model = { path = "lm", weight = 0.3 }\n'
    )
    spec = folders.spec()
    steps = keyed_steps(spec, inspect_inputs(spec, Digests(None)))

    portable = make_lock(spec, [PointSteps(spec, steps)], portable=True)
    placed = make_lock(spec, [PointSteps(spec, steps)], portable=False)

    rows = {row.role: row.path for row in portable.data}
    assert {"ensemble/0": "a/SHA256SUMS", "ensemble/1": "b/SHA256SUMS", "language_model": "lm/SHA256SUMS"}.items() <= (
        rows.items()
    )
    generate = portable.resolved["generate"]
    assert isinstance(generate, dict)
    assert (["a", "b"], {"path": "lm", "weight": 0.3}) == (generate["ensemble"], generate["language_model"])
    assert str(Path.cwd() / "a" / "SHA256SUMS") in {row.path for row in placed.data}


def test_a_taken_vocabulary_counts_from_preprocess_on(folders: SmallExperiment) -> None:
    spec_model_folder(folders.folder / "c", vocabularies={"source": "one 1\n", "target": "eins 1\n"})
    taken = keys(folders, "preprocess.vocabulary='c'")

    assert moved(keys(folders), taken) == ("preprocess", "train", *LAST)
    (folders.folder / "c").rename(folders.folder / "d")
    assert taken == keys(folders, "preprocess.vocabulary='d'")
    (folders.folder / "d" / "SHA256SUMS").write_text("another vocabulary\n")
    assert moved(taken, keys(folders, "preprocess.vocabulary='d'")) == ("preprocess", "train", *LAST)

    spec = folders.spec("preprocess.vocabulary='d'")
    variant = Variant(spec, inspect_inputs(spec, Digests(None)))
    assert ("preprocess",) == tuple(reach(("preprocess", "vocabulary", "path"), variant).own)
    (preprocess,) = (step for step in keyed_steps(spec, variant.inputs) if step.kind == "preprocess")
    assert "vocabulary" in {file.role for file in preprocess.inputs}


LM = """
specforge = 1
task = "language_modeling"
data = { train = "train.en", valid = "valid.en", test = "test.en", prompts = "train.de" }
tokenizer = "whitespace"
model = "transformer_lm"
train = { max_updates = 10_000 }
"""


def test_prompts_have_a_generate_step_and_no_score(folders: SmallExperiment) -> None:
    folders.write_spec(LM)
    steps = compile_plan(folders.spec(), Digests(None), NoResults()).steps
    plain = {step.id: step.key for step in steps}

    assert ["preprocess", "train", "generate.prompts", "score.test"] == list(plain)
    prompts = next(step for step in steps if step.id == "generate.prompts")
    assert [("prompts", "train.de")] == [(file.role, file.path.name) for file in prompts.inputs]
    assert "specforge/greedy@1" == prompts.components["generate.search"]
    assert moved(plain, keys(folders, "data.prompts='valid.de'")) == ("generate.prompts",)
    assert moved(plain, keys(folders, "generate.search='beam'")) == ("generate.prompts",)
    assert ["prompts"] == [corpus.role for corpus in step_corpora(folders.spec(), prompts)]

    spec = folders.spec()
    variant = Variant(spec, inspect_inputs(spec, Digests(None)))
    assert ("generate.prompts",) == tuple(reach(("data", "prompts", "path"), variant).own)
    other = folders.spec("data.prompts='valid.de'")
    after = Variant(other, inspect_inputs(other, Digests(None)))
    assert (("data", "prompts", "path"),) == changes(spec, other)
    varied = vary(("data", "prompts", "path"), variant, after)
    assert keys(folders, "data.prompts='valid.de'") == {
        step.id: step.key for step in keyed_steps(varied.spec, varied.inputs)
    }


def test_only_a_language_model_has_prompts(folders: SmallExperiment) -> None:
    with pytest.raises(SpecError) as caught:
        folders.spec("data.prompts='train'")

    assert ["SF521"] == [found.code for found in caught.value.diagnostics]
