"""A schedule that aims at the last update has to be told which one that is, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from specforge.language.messages.diagnostics import Diagnostic, SpecError
from specforge.language.resolve import load_spec


def wrong_with(folder: Path, scheduler: str, train: str) -> tuple[Diagnostic, ...]:
    """Return what is wrong with a spec that is right but for its lr_scheduler and its budget."""
    for name in ("train.en", "train.de", "valid.en", "valid.de"):
        (folder / name).write_text("a b\n")
    spec = folder / "spec.toml"
    spec.write_text(
        f"""\
specforge = 1
task = {{ use = "translation", source = "en", target = "de" }}
data = {{ train = "train", valid = "valid" }}
model = "transformer"
lr_scheduler = {scheduler}
train = {{ {train} }}
"""
    )
    try:
        load_spec(spec)
    except SpecError as error:
        return error.diagnostics
    return ()


@pytest.mark.parametrize("train", ["max_updates = 10", "max_updates = 10, max_epochs = 2"])
def test_it_is_enough_to_say_max_updates(tmp_path: Path, train: str) -> None:
    assert () == wrong_with(tmp_path, '"cosine"', train)


@pytest.mark.parametrize(
    "scheduler",
    [
        '"inverse_sqrt"',
        '"reduce_lr_on_plateau"',
        '{ use = "cosine", lr_period_updates = 5 }',
        '{ use = "polynomial_decay", total_num_update = 5 }',
        '{ use = "tri_stage", hold_updates = 5 }',
    ],
)
def test_other_schedules_may_end_by_epochs(tmp_path: Path, scheduler: str) -> None:
    assert () == wrong_with(tmp_path, scheduler, "max_epochs = 2")


@pytest.mark.parametrize("scheduler", ["cosine", "polynomial_decay", "tri_stage"])
def test_an_end_in_epochs_is_no_update_to_aim_at(tmp_path: Path, scheduler: str) -> None:
    (found,) = wrong_with(tmp_path, f'"{scheduler}"', "max_epochs = 2")

    assert "SF301" == found.code
    assert [(5, 16), (6, 24)] == [(label.place.line, label.place.column) for label in found.labels]
