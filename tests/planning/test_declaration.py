"""Where a field is declared, and which of the markers around a value counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import pytest
from pydantic import BaseModel
from small_experiment import SmallExperiment

from specforge.language.spec import ValuePath
from specforge.planning.declaration import declaration
from specforge.plugin import ComponentConfig, marked


class Inner(BaseModel):
    """A table inside a component's."""

    plain: int = 1
    grows: Annotated[int, marked(continues=True)] = 1
    place: Annotated[str, marked(identity=False)] = "a"


class Outer(ComponentConfig):
    """A component with one table inside that counts, and one that does not."""

    counted: Inner = Inner()
    aside: Annotated[Inner, marked(identity=False)] = Inner()


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        (("name",), "not"),
        (("seed",), "always"),
        (("run", "devices"), "not"),
        (("train", "max_updates"), "may grow"),
        (("train", "checkpoint_every"), "not"),
        (("model", "counted", "plain"), "always"),
        (("model", "counted", "grows"), "may grow"),
        (("model", "counted", "place"), "not"),
        (("model", "aside", "plain"), "not"),
        (("model", "aside", "grows"), "not"),
    ],
)
def test_what_keeps_a_table_out_of_keys_beats_what_is_said_inside(
    small: SmallExperiment, path: ValuePath, counts: str
) -> None:
    spec = small.spec()
    part = replace(spec.parts["model",], config=Outer())

    marker = declaration(path, replace(spec, parts={**spec.parts, ("model",): part})).marker

    assert counts == ("not" if not marker.identity else "may grow" if marker.continues else "always")
