"""What the scores of a test depend on: its references and resamples count for score alone."""

from __future__ import annotations

import pytest
from no_results import NoResults
from small_experiment import SmallExperiment

from specforge.planning.compile import compile_plan
from specforge.planning.plan import Step
from specforge.storage.digests import Digests

REFERENCES = 'data.test={path="test", references=["de", "second"]}'


@pytest.fixture
def several(small: SmallExperiment) -> SmallExperiment:
    """The small experiment with another reference of its test."""
    (small.folder / "test.second").write_text("x\ny\nz\n")
    return small


def steps(small: SmallExperiment, *assignments: str) -> dict[str, Step]:
    return {step.id: step for step in compile_plan(small.spec(*assignments), Digests(None), NoResults()).steps}


def moved(small: SmallExperiment, *assignments: str) -> set[str]:
    before, after = steps(small), steps(small, *assignments)
    return {name for name in before if before[name].key != after[name].key}


def roles(small: SmallExperiment, *assignments: str) -> dict[str, list[str]]:
    return {name: [file.role for file in step.inputs] for name, step in steps(small, *assignments).items()}


def test_resamples_and_references_count_for_score_alone(several: SmallExperiment) -> None:
    assert {"score.test"} == moved(several, "generate.bootstrap=1_000")
    assert {"score.test"} == moved(several, REFERENCES)
    assert set() == moved(several, "generate.bootstrap=0", 'data.test={path="test", references=["de"]}')


def test_each_reference_is_read_by_score(several: SmallExperiment) -> None:
    found = roles(several, REFERENCES)

    assert ["test/source"] == found["generate.test"]
    assert ["test/reference-0", "test/reference-1"] == sorted(found["score.test"])


def test_a_test_with_references_of_its_own_needs_no_other(several: SmallExperiment) -> None:
    (several.folder / "test.de").unlink()

    assert ["test/reference-0"] == roles_without_others(several)["score.test"]


def roles_without_others(small: SmallExperiment) -> dict[str, list[str]]:
    assignment = 'data.test={path="test", references=["second"]}'
    compiled = compile_plan(small.spec(assignment), Digests(None), NoResults()).steps
    return {step.id: [file.role for file in step.inputs] for step in compiled}


def test_in_a_table_the_names_of_the_references_count(small: SmallExperiment) -> None:
    (small.folder / "test.tsv").write_text("en\tde\tother\tone\na\tb\tc\td\n")
    table = 'data.test={path="test.tsv", format="tsv", header=true'
    before = steps(small, table + "}")
    for names in ('["other"]', '["other", "one"]', '["de", "other"]'):
        after = steps(small, f"{table}, references={names}}}")
        assert {"score.test"} == {name for name in before if before[name].key != after[name].key}
        before = after
