"""Lists of components: `generate.metrics` and `run.trackers` are read, merged and filled in by the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from small_experiment import SMALL_SPEC, SmallExperiment

from specforge.language import components
from specforge.language.component_places import component_kind
from specforge.language.messages.diagnostics import SpecError
from specforge.language.resolve import load_spec

if TYPE_CHECKING:
    from specforge.plugin import Kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("model",), "model"),
        (("train", "valid_search"), "search"),
        (("train", "best_metric"), "metric"),
        (("generate", "metrics", 0), "metric"),
        (("run", "trackers", "1"), "tracker"),
        (("run", "trackers"), None),
        (("data", "train", 0), None),
        (("train",), None),
    ],
)
def test_the_kind_at_a_path(path: tuple[str | int, ...], kind: Kind | None) -> None:
    assert component_kind(path) == kind


@pytest.mark.parametrize("said", ['["tensorboard"]', '"tensorboard"', '{use = "specforge/tensorboard"}'])
def test_a_tracker_is_a_component(small: SmallExperiment, said: str) -> None:
    spec = small.spec(f"run.trackers={said}")

    part = spec.parts["run", "trackers", 0]
    assert part.registered.qualified == "specforge/tensorboard"
    assert spec.origins["run", "trackers", 0, "use"][-1].layer == "set"


def test_there_is_none_unless_one_is_named(small: SmallExperiment) -> None:
    run = small.spec().tree["run"]

    assert isinstance(run, dict)
    assert run["trackers"] == []
    assert not [path for path in small.spec().parts if path[0] == "run"]


def test_metrics_of_a_task_without_outputs_are_unset_and_no_empty_list(small: SmallExperiment) -> None:
    text = (
        'specforge = 1\nallow = ["SF411"]\ntask = "language_modeling"\nmodel = "transformer_lm"\n'
        'tokenizer = "whitespace"\ndata = { train = "train.en", valid = "valid.en" }\ntrain = { max_updates = 4 }\n'
    )

    generate = load_spec(small.write_spec(text), ()).tree["generate"]

    assert isinstance(generate, dict)
    assert generate["metrics"] is None


def test_the_trackers_of_an_extended_file_can_be_left_out(small: SmallExperiment) -> None:
    small.write_spec(SMALL_SPEC + '[[run.trackers]]\nuse = "tensorboard"\n', "base.toml")
    small.write_spec('extends = "base.toml"\n[run]\ntrackers = []\n', "quiet.toml")

    assert ("run", "trackers", 0) in load_spec(small.folder / "base.toml", ()).parts
    assert ("run", "trackers", 0) not in load_spec(small.folder / "quiet.toml", ()).parts


def test_a_missing_package_is_told_with_other_faults(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "find_spec", lambda name: None if name == "tensorboard" else name)

    with pytest.raises(SpecError) as caught:
        small.spec('run.trackers=[{use = "tensorboard", dir = "a"}]')

    assert [found.code for found in caught.value.diagnostics] == ["SF681", "SF101"]
