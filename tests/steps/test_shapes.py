"""Shapes of models that are never filled with weights, against the sizes in their tables."""

from __future__ import annotations

import json

from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.foundation.events import Scalar, SilentReporter
from specforge.steps import shapes

SMALL: dict[str, JsonValue] = {
    "use": "specforge/transformer",
    "encoder_layers": 1,
    "decoder_layers": 1,
    "embed_dim": 8,
    "ffn_dim": 16,
    "attention_heads": 2,
}


class Records(SilentReporter):
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.text = ""

    def record(self, name: str, **values: Scalar) -> None:
        assert "shapes" == name
        self.text = str(values["json"])


def built(*models: JsonValue) -> list[dict[str, list[int]] | None]:
    reporter = Records()
    shapes.run(Job(id="shapes", kind="shapes", settings={"models": list(models)}), reporter)
    found: list[dict[str, list[int]] | None] = json.loads(reporter.text)
    return found


def described(joined: bool = False, **values: JsonValue) -> JsonValue:  # noqa: FBT001, FBT002  # a word of the job
    return {"model": {**SMALL, **values}, "vocabulary": {"source": 10, "target": 12}, "joined": joined}


def test_tables_and_vocabularies_give_the_shapes() -> None:
    small, wide = built(described(), described(embed_dim=16))

    assert small is not None
    assert wide is not None
    assert small.keys() == wide.keys()
    embeddings = [name for name, shape in small.items() if shape in ([10, 8], [12, 8])]
    assert embeddings
    assert all(wide[name] == [small[name][0], 16] for name in embeddings)


def test_a_shared_table_is_saved_once() -> None:
    apart, shared = built(
        described(share_embeddings="none"),
        {"model": {**SMALL, "share_embeddings": "all"}, "vocabulary": {"source": 12, "target": 12}, "joined": True},
    )

    assert apart is not None
    assert shared is not None
    assert len(apart) - 2 == len(shared)


def test_a_model_that_cannot_be_built_hides_no_other() -> None:
    # 8 dimensions do not fall to 3 heads; a shared table needs a shared vocabulary
    wrong, unshared, right = built(described(attention_heads=3), described(share_embeddings="all"), described())

    assert wrong is None
    assert unshared is None
    assert right is not None
