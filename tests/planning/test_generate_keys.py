"""What outputs of a test depend on: how long lines and unknown pieces are dealt with, and what is written of them."""

from __future__ import annotations

import pytest
from no_results import NoResults
from small_experiment import SmallExperiment

from specforge.planning.compile import compile_plan
from specforge.planning.plan import Step
from specforge.storage.digests import Digests


def steps(small: SmallExperiment, *assignments: str) -> dict[str, Step]:
    return {step.id: step for step in compile_plan(small.spec(*assignments), Digests(None), NoResults()).steps}


@pytest.mark.parametrize(
    ("field", "default", "other"),
    [
        ("too_long", '"error"', '"split"'),
        ("replace_unk", "false", "true"),
        ("nbest", "1", "2"),
        ("format", '"text"', '"jsonl"'),
        ("alignment", "false", "true"),
    ],
)
def test_a_default_keeps_every_key_and_another_value_runs_generate_again(
    small: SmallExperiment, field: str, default: str, other: str
) -> None:
    before = steps(small)
    same, changed = (steps(small, f"generate.{field}={value}") for value in (default, other))

    assert {name: step.key for name, step in before.items()} == {name: step.key for name, step in same.items()}
    assert {"generate.test", "score.test"} == {name for name in before if before[name].key != changed[name].key}


def test_the_reference_is_read_where_it_is_shown(small: SmallExperiment) -> None:
    assert ["test/source"] == [file.role for file in steps(small)["generate.test"].inputs]
    shown = steps(small, 'generate.format="fairseq"')["generate.test"].inputs
    assert ["test/source", "test/target"] == sorted(file.role for file in shown)
