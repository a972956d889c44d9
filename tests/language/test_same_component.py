"""One component under two names: `transformer` and `specforge/transformer` are the same table when layers are merged."""

from __future__ import annotations

import pytest
from small_experiment import SmallExperiment

from specforge.language.registry import load_registry
from specforge.planning.compile import keyed_steps
from specforge.planning.inputs import inspect_inputs
from specforge.storage.digests import Digests


def extended(small: SmallExperiment, model: str) -> int:
    """Return the model's dimension in a spec that extends the small one, whose model has 8, with another model table."""
    small.write_spec(f'specforge = 1\nextends = "small.toml"\nname = "small"\n[model]\n{model}\n', "other.toml")
    dimension: int = small.spec(name="other.toml").parts["model",].values()["embed_dim"]  # type: ignore[assignment]
    return dimension


def test_the_same_component_keeps_the_values_below(small: SmallExperiment) -> None:
    assert 8 == extended(small, 'use = "transformer"')
    assert 8 == extended(small, 'use = "specforge/transformer"')


def test_another_name_replaces_the_table(small: SmallExperiment) -> None:
    default = extended(small, 'use = "specforge/fconv"')
    assert 8 != default
    # a preset is another name than its model's
    assert 8 != extended(small, 'use = "transformer_iwslt_de_en"')


@pytest.mark.parametrize("name", ["transformer", "specforge/transformer"])
def test_the_short_form_is_the_same_table(small: SmallExperiment, name: str) -> None:
    assert 8 == small.spec(f"model='{name}'").parts["model",].values()["embed_dim"]


def test_two_spellings_have_the_same_keys(small: SmallExperiment) -> None:
    extended(small, 'use = "specforge/transformer"')

    def keys(name: str) -> list[str]:
        spec = small.spec(name=name)
        return [step.key for step in keyed_steps(spec, inspect_inputs(spec, Digests(None)))]

    assert keys("small.toml") == keys("other.toml")


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("transformer", "specforge/transformer", True),
        ("transformer_iwslt_de_en", "specforge/transformer_iwslt_de_en", True),
        ("transformer", "specforge/fconv", False),
        ("transformer", "nobody/transformer", False),
        ("nothing", "specforge/nothing", False),
    ],
)
def test_names_that_stand_for_nothing_are_nobody_s(name: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert same == load_registry().same("model", name, other)
    assert same == load_registry().same("model", other, name)
