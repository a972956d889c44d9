"""Jobs: what the workers of each step are told about their corpora."""

from __future__ import annotations

from pathlib import Path

import pytest
from no_results import NoResults
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.execution.job import CorpusJob, Job
from specforge.execution.jobs import OUTPUTS, step_jobs
from specforge.planning.compile import compile_plan
from specforge.storage.digests import Digests


def job(small: SmallExperiment, step: str, *assignments: str) -> Job:
    spec = small.spec(*assignments)
    plan = compile_plan(spec, Digests(None), NoResults())
    folder = Path("/scratch")
    needs = {need.partition(".")[0]: Path("/results") / need for need in plan.step(step).needs}
    return step_jobs(spec, plan.step(step), needs, folder, None, folder / "result")[0]


def test_text_goes_by_role_and_a_table_by_its_columns(small: SmallExperiment) -> None:
    (small.folder / "more.tsv").write_text("eins\tone\n")
    table = "{path = 'more.tsv', format = 'tsv', columns = ['de', 'en'], weight = 2}"

    text, more = job(small, "preprocess", f"data.train=['train', {table}]").corpora[:2]

    assert {"source": str(small.folder / "train.en"), "target": str(small.folder / "train.de")} == text.files
    assert (
        CorpusJob(
            role="train/1",
            format="tsv",
            files={"": str(small.folder / "more.tsv")},
            columns=["de", "en"],
            weight=2.0,
            lines=1,
        )
        == more
    )


@pytest.mark.parametrize(
    ("step", "roles"),
    [
        ("tokenizer", ["train/0"]),
        ("preprocess", ["train/0", "valid"]),
        ("train", []),
        ("generate.test", ["test"]),
        ("score.test", ["test"]),
    ],
)
def test_each_step_gets_its_corpora(small: SmallExperiment, step: str, roles: list[str]) -> None:
    found = job(small, step, 'tokenizer={use = "sentencepiece", vocab_size = 20}')

    assert roles == [corpus.role for corpus in found.corpora]


def test_a_held_out_test_is_read_from_the_training_corpora_that_have_one(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC.replace('train = "train"\nvalid = "valid"\ntest = "test"\n', ""))
    corpora = "data.train=['train', {path = 'valid', hold_out = {valid = 0.5, test = 0.25}}]"

    found = job(small, "generate.test", corpora)

    assert ["train/1"] == [corpus.role for corpus in found.corpora]
    assert found.corpora[0].hold_out is not None
    assert 0.25 == found.corpora[0].hold_out["test"]
    assert 1 == found.settings["seed"]


def test_results_of_the_steps_above_come_by_kind(small: SmallExperiment) -> None:
    assert {"generate": "/results/generate.test"} == job(small, "score.test").needs


def test_every_kind_says_what_it_must_write() -> None:
    assert {"tokenizer", "preprocess", "train", "generate", "score"} == set(OUTPUTS)
