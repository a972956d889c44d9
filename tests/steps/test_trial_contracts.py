"""Components that do not keep their contract: what is said of them, and that it names them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from small_experiment import SmallExperiment
from torch import Tensor, nn
from trial_jobs import trial_job, trial_of

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch, SequencePairBatch
from specforge.foundation.errors import EnvironmentFaultError, SpecforgeError, StepFailedError, WrongInputError
from specforge.language.spec import Registered
from specforge.metrics.metric import Metric, Score
from specforge.models.model import DecodingState, EncoderDecoder, Model, OutputLayer
from specforge.plugin import Component, ModelContext
from specforge.steps.trial import metrics, workbench
from specforge.steps.trial import tokenizer as tokenizer_trial
from specforge.steps.trial.blame import blame
from specforge.tokenizers.tokenizer import Tokenizer

PAD = 1
HERE = Registered("acme", "1.0", Component("model", "bow", "test_trial_contracts:Config", "test_trial_contracts:build"))


class State(DecodingState):
    """The mean of the source embeddings: [rows, dim]."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        del sentences
        self.mean = self.mean[rows]


class BagOfWords(EncoderDecoder):
    """The next symbol from the last one and the mean of the source; right, but for what a subclass does."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__()
        self.source = nn.Embedding(context.symbols["source"].size, 4)
        self.target = nn.Embedding(context.symbols["target"].size, 4)
        self.output = nn.Linear(4, context.symbols["target"].size)

    def mean(self, source: Tensor) -> Tensor:
        real = (source != PAD)[..., None]
        mean: Tensor = (self.source(source) * real).sum(1) / real.sum(1)
        return mean

    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        features: Tensor = self.mean(batch.source)[:, None] + self.target(batch.target_in)
        return features

    def project(self, features: Tensor) -> Tensor:
        projected: Tensor = self.output(features)
        return projected

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        del lengths
        return State(self.mean(source).repeat_interleave(beam, 0))

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        assert isinstance(state, State)
        return self.project(state.mean + self.target(tokens))


class SeesTheTarget(BagOfWords):
    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        features: Tensor = super().features(batch) + self.target(batch.target_out)
        return features


class SeesThePadding(BagOfWords):
    def mean(self, source: Tensor) -> Tensor:
        embedded: Tensor = self.source(source)
        return embedded.mean(1)


class FlatFeatures(BagOfWords):
    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        return super().features(batch).flatten(0, 1)


class NarrowOutput(BagOfWords):
    def project(self, features: Tensor) -> Tensor:
        return super().project(features)[..., :-1]


class WrongOutputLayer(BagOfWords):
    def output_layer(self) -> OutputLayer:
        return OutputLayer(self.output.weight)  # forgets the bias


class NotFinite(BagOfWords):
    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        with torch.no_grad():
            self.output.weight.fill_(math.nan)


class Raises(BagOfWords):
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        message = "not yet\nwritten"
        raise NotImplementedError(message)


class Idle(BagOfWords):
    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        self.forgotten = nn.Linear(2, 2)


def try_model(small: SmallExperiment, model: type[BagOfWords], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Try a model in the place of the spec's; return the warnings."""
    small.write_text("train", [("one two three", "eins zwei"), ("one", "eins"), ("two two", "zwei eins zwei zwei")])
    monkeypatch.setattr(workbench, "make_model", lambda _, context: model(context))
    return trial_of(trial_job(small, "model")).warnings


def test_a_right_model_is_found_right(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [] == try_model(small, BagOfWords, monkeypatch)


def test_parts_that_are_never_trained_are_named(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = try_model(small, Idle, monkeypatch)

    assert "no gradient to `forgotten.bias`, `forgotten.weight`" in warning


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        (SeesTheTarget, "SF143", "decodes otherwise than it is trained"),
        (SeesThePadding, "SF143", "gives an item alone other log-probabilities than in a batch"),
        (FlatFeatures, "SF143", "of shape [15, 4] from `features`"),
        (NarrowOutput, "SF143", "of shape [3, 5, 7] from `project`"),
        (WrongOutputLayer, "SF143", "`output_layer` that is not what `project` computes"),
        (NotFinite, "SF633", "values that are not finite"),
        (Raises, "SF142", "fails in `step`"),
    ],
)
def test_a_wrong_model(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch, model: type[BagOfWords], code: str, words: str
) -> None:
    with pytest.raises(StepFailedError) as caught:
        try_model(small, model, monkeypatch)

    assert code == caught.value.code
    assert words in caught.value.message
    assert "the model `specforge/transformer`" in caught.value.message


def test_the_module_that_is_not_finite_is_named(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepFailedError) as caught:
        try_model(small, NotFinite, monkeypatch)

    assert ("the first output that is not finite is that of its module `output`",) == caught.value.notes


def test_the_line_that_raised_is_named() -> None:
    def fail() -> None:
        message = "two\nlines"
        raise KeyError(message)

    local = Registered("acme", "1.0", Component("search", "x", "", f"{__name__.partition('.')[0]}:build"))
    with pytest.raises(StepFailedError) as caught, blame(local, "where it decodes"):
        fail()

    what, where = caught.value.notes
    assert ("SF142", "the search `acme/x` fails where it decodes") == (caught.value.code, caught.value.message)
    assert "KeyError: 'two\\nlines'" == what
    assert where.startswith("raised in `test_the_line_that_raised_is_named.<locals>.fail`")
    assert __file__ in where


def test_our_own_errors_pass_and_a_full_memory_is_no_fault() -> None:
    with pytest.raises(WrongInputError), blame(HERE, "x"):
        raise WrongInputError("SF506", "too long")
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(EnvironmentFaultError) as caught, blame(HERE, "in its forward pass"):
            raise error
        assert "SF605" == caught.value.code


class Mean(Criterion):
    """A mean where a sum is asked for."""

    def forward(self, model: Model, batch: Batch) -> Loss:
        logits = model.project(model.features(batch))
        total = nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PAD)
        return Loss(total, total.detach(), batch.target_tokens)


class Nothing(Criterion):
    def forward(self, model: Model, batch: Batch) -> Loss:
        del model, batch
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(("criterion", "words"), [(Mean, "does not add up"), (Nothing, "does not return a `Loss`")])
def test_a_wrong_criterion(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch, criterion: type[Criterion], words: str
) -> None:
    monkeypatch.setattr(workbench, "make_criterion", lambda *_: criterion())
    with pytest.raises(StepFailedError) as caught:
        trial_of(trial_job(small, "criterion", "train.batch_sentences=5"))

    assert "SF143" == caught.value.code
    assert words in caught.value.message


class Backwards(Metric):
    """Best where nothing is right."""

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        wrong = sum(one != other for one, other in zip(hypotheses, references[0], strict=True))
        return Score("backwards", float(wrong), "none", higher_is_better=True, text="")


class Undefined(Metric):
    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        del hypotheses, references
        return Score("undefined", math.nan, "none", higher_is_better=True, text="")


@pytest.mark.parametrize(("metric", "code"), [(Backwards, "SF143"), (Undefined, "SF633")])
def test_a_wrong_metric(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch, metric: type[Metric], code: str
) -> None:
    monkeypatch.setattr(metrics, "make_metric", lambda _: metric())
    with pytest.raises(SpecforgeError) as caught:
        trial_of(trial_job(small, "generate.metrics"))

    assert code == caught.value.code


class Forgets(Tokenizer):
    """Cuts one line less than it is given."""

    def encode(self, role: str, lines: Sequence[str]) -> list[list[str]]:
        del role
        return [line.split() for line in lines[1:]]

    def decode(self, role: str, pieces: Sequence[str]) -> str:
        del role
        return " ".join(pieces)


def test_a_wrong_tokenizer(small: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_trial, "make_tokenizer", lambda _: Forgets())
    with pytest.raises(StepFailedError) as caught:
        trial_of(trial_job(small, "tokenizer"))

    assert "makes 4 lists of 5 lines in `encode`" in caught.value.message


class LoudOutput(BagOfWords):
    """Is very sure of what it does not know."""

    def project(self, features: Tensor) -> Tensor:
        return 1_000 * super().project(features)


class KnowsTheAnswer(BagOfWords):
    """Is right from the start, as one that sees the target would be: the only target is `eins`."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        with torch.no_grad():
            self.output.weight.zero_()
            self.output.bias[:] = torch.tensor([0.0, 0.0, 9.0, 0.0, 9.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(("model", "words"), [(LoudOutput, "far above"), (KnowsTheAnswer, "far below")])
def test_an_odd_start_is_a_warning(
    small: SmallExperiment, monkeypatch: pytest.MonkeyPatch, model: type[BagOfWords], words: str
) -> None:
    small.write_text("train", [("one", "eins"), ("two", "eins")])
    monkeypatch.setattr(workbench, "make_model", lambda _, context: model(context))

    warnings = trial_of(trial_job(small, "model")).warnings

    assert any(f"{words} that of a uniform guess" in warning for warning in warnings)
