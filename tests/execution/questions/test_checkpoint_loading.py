"""Which fields keep a checkpoint from loading: found with the worker's own code, in this process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from small_experiment import SmallExperiment

from specforge.execution.job import Job
from specforge.execution.questions import checkpoint_loading
from specforge.execution.questions.checkpoint_loading import LoadingSide, loading
from specforge.execution.signals import StopRequest
from specforge.foundation.events import Scalar, SilentReporter
from specforge.planning.comparison.compatibility import Loading
from specforge.planning.comparison.difference import Compared, compare
from specforge.planning.comparison.variation import Variant
from specforge.planning.compile import keyed_steps
from specforge.planning.estimates import Estimates
from specforge.planning.inputs import inspect_inputs
from specforge.steps import shapes
from specforge.storage.digests import Digests


class Records(SilentReporter):
    """Keeps the answer."""

    def __init__(self) -> None:
        self.text = ""

    def record(self, name: str, **values: Scalar) -> None:
        del name
        self.text = str(values["json"])


def answer(job: Job, stop: StopRequest) -> str:
    """Answer without a process."""
    del stop
    reporter = Records()
    shapes.run(job, reporter)
    return reporter.text


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_loading, "answer", answer)


def side(small: SmallExperiment, assignments: Sequence[str], types: int, *, guessed: bool = False) -> LoadingSide:
    spec = small.spec(*assignments)
    inputs = inspect_inputs(spec, Digests(None))
    compared = Compared(Variant(spec, inputs), keyed_steps(spec, inputs))
    estimates = Estimates(
        parameters=1,
        trainable=1,
        by_part={},
        vocabulary={"source": types, "target": types},
        approximate=["vocabulary"] if guessed else [],
    )
    bare = LoadingSide(compared, estimates)
    job = Job(id="shapes", kind="shapes", settings={"models": [checkpoint_loading._model(compared.variant, bare)]})
    (tensors,) = checkpoint_loading._SHAPES.validate_json(answer(job, StopRequest()))
    return LoadingSide(compared, estimates.model_copy(update={"tensors": tensors}))


def found(
    small: SmallExperiment, *assignments: str, before: Sequence[str] = (), types: int = 10, guessed: bool = False
) -> Loading:
    one, other = side(small, before, 10), side(small, assignments, types, guessed=guessed)
    fields = compare(one.compared, other.compared).fields
    return loading(one, other, fields, StopRequest(), same_text=None)


def causes(loaded: Loading) -> list[str]:
    return [".".join(map(str, field.path)) for field in loaded.causes]


@pytest.mark.parametrize(
    "assignments", [(), ("model.dropout=0.3", "model.attention_heads=4"), ("train.max_updates=9",)]
)
def test_what_moves_no_tensor_loads(small: SmallExperiment, assignments: tuple[str, ...]) -> None:
    loaded = found(small, *assignments)

    assert (True, []) == (loaded.loads, causes(loaded))
    assert loaded.fit.alike > 0


def test_only_the_fields_that_move_tensors_are_blamed(small: SmallExperiment) -> None:
    loaded = found(small, "model.embed_dim=16", "model.dropout=0.3", "model.encoder_layers=2", "seed=3")

    assert (False, ["model.embed_dim", "model.encoder_layers"]) == (loaded.loads, sorted(causes(loaded)))
    assert all("encoder" in name for name in loaded.fit.only_after)
    assert loaded.fit.only_after


def test_another_model_is_one_cause(small: SmallExperiment) -> None:
    assert ["model"] == causes(found(small, "model='fconv'"))


def test_a_value_that_fits_only_the_other_model_is_tried_there(small: SmallExperiment) -> None:
    # 6 dimensions do not fall to the 4 heads of the first model
    heads = ["model.attention_heads=4"]
    loaded = found(small, "model.embed_dim=6", "model.attention_heads=2", "model.ffn_dim=17", before=heads)
    assert ["model.embed_dim", "model.ffn_dim"] == sorted(causes(loaded))


def test_values_that_fit_only_each_other_are_blamed_together(small: SmallExperiment) -> None:
    # neither 6 dimensions and 4 heads nor 8 dimensions and 3 heads make a model
    loaded = found(small, "model.embed_dim=6", "model.attention_heads=3", before=["model.attention_heads=4"])
    assert ["model.attention_heads", "model.embed_dim"] == sorted(causes(loaded))


def test_a_larger_vocabulary_reshapes_its_tensors_only(small: SmallExperiment) -> None:
    loaded = found(small, "preprocess.padding_factor=3", types=12)

    assert {"source": (10, 12), "target": (10, 12)} == loaded.vocabulary
    assert (False, ["preprocess.padding_factor"]) == (loaded.loads, causes(loaded))
    assert loaded.by_vocabulary == len(loaded.fit.reshaped) > 0
    assert {(10, 12)} == {(one.before[0], one.after[0]) for one in loaded.fit.reshaped}


def test_a_guessed_vocabulary_is_not_held_against_a_checkpoint(small: SmallExperiment) -> None:
    assert found(small, "preprocess.padding_factor=3", types=12, guessed=True).loads is None
    assert found(small, "preprocess.padding_factor=3", "model.embed_dim=16", types=12, guessed=True).loads is False


def test_a_vocabulary_that_is_shared_now_is_named(small: SmallExperiment) -> None:
    loaded = found(small, "preprocess.joined_dictionary=true", "model.share_embeddings='all'")

    assert not loaded.loads
    assert "model.share_embeddings" in causes(loaded)
