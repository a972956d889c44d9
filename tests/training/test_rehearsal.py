"""A rehearsal without values, against counts by hand and against the same update done in earnest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_training import TinyTask
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import SGD, Optimizer

from specforge.criterions.criterion import Criterion, Loss
from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.data.batch import Batch, SequencePairBatch
from specforge.models.model import DecodingState, EncoderDecoder, Model
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import build as build_transformer
from specforge.optimizers.adafactor.config import AdafactorConfig
from specforge.optimizers.adafactor.optimizer import build as build_adafactor
from specforge.optimizers.adam.config import AdamConfig
from specforge.optimizers.adam.optimizer import build as build_adam
from specforge.optimizers.adamw.config import AdamWConfig
from specforge.optimizers.adamw.optimizer import build as build_adamw
from specforge.optimizers.sgd.config import SgdConfig
from specforge.optimizers.sgd.optimizer import build as build_sgd
from specforge.plugin import ModelContext, Symbols
from specforge.training import rehearsal
from specforge.training.layers import checkpoint_layers
from specforge.training.module import TrainingModule
from specforge.training.rehearsal import Rehearsal, fake_batch, needs_values, rehearse, without_values

CPU = torch.device("cpu")
ROWS, INNER, OUTER = 6, 4, 8


class OneProduct(EncoderDecoder):
    """Two linear layers and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, INNER)
        self.layer = nn.Linear(INNER, OUTER, bias=False)

    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        features: Tensor = self.layer(self.table(batch.target_in))
        return features

    def project(self, features: Tensor) -> Tensor:
        return features

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        raise NotImplementedError

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        raise NotImplementedError


class Sum(Criterion):
    """The sum of all features."""

    def forward(self, model: Model, batch: Batch) -> Loss:
        total = model.features(batch).sum()
        return Loss(total, total.detach(), batch.target_tokens)


def batch_of(sentences: int, length: int) -> SequencePairBatch:
    tokens = torch.full((sentences, length), 5)
    lengths = torch.full((sentences,), length)
    return SequencePairBatch(tokens, lengths, tokens, tokens, lengths, target_tokens=sentences * length)


def rehearsed(
    make: Callable[[], TrainingModule], batch: SequencePairBatch, *, again: bool = False, averaged: bool = False
) -> Rehearsal:
    with without_values(CPU) as mode:
        module = make()
        fake = fake_batch(batch, mode, CPU)
        return rehearse(module, lambda: adam(module), fake, "fp32", again=again, averaged=averaged)


def adam(module: TrainingModule) -> Optimizer:
    return build_adam(AdamConfig(), module.trainable())


def one_product() -> TrainingModule:
    return TrainingModule(TinyTask(), OneProduct(), Sum())


def transformer(dropout: float = 0.1, norm: str = "post") -> TrainingModule:
    config = TransformerConfig.model_validate(
        {
            "encoder_layers": 2,
            "decoder_layers": 2,
            "embed_dim": 32,
            "ffn_dim": 64,
            "attention_heads": 4,
            "dropout": dropout,
            "norm": norm,
        }
    )
    context = ModelContext({"source": Symbols(500), "target": Symbols(500)})
    return TrainingModule(TinyTask(), build_transformer(config, context), CrossEntropy(1)).train()


def test_operations_of_one_product_by_hand() -> None:
    found = rehearsed(one_product, batch_of(2, 3))

    # a product of 6 x 4 with 4 x 8 is 2 · 6 · 4 · 8 operations; so is the gradient of either side
    assert (3 * 2 * ROWS * INNER * OUTER, 0) == (found.linear, found.quadratic)


def test_state_of_one_product_by_hand() -> None:
    found = rehearsed(one_product, batch_of(2, 3))

    weights = 4 * (12 * INNER + INNER * OUTER)
    assert (weights, weights) == (found.weights, found.gradients)
    assert 2 * weights + 2 * 4 == found.optimizer  # two means, and for each tensor a counter
    assert 4 * weights + 8 == found.state


def test_averages_take_as_much_as_the_weights_from_the_beginning_to_the_end() -> None:
    without, found = (rehearsed(one_product, batch_of(2, 3), averaged=averaged) for averaged in (False, True))

    weights = 4 * (12 * INNER + INNER * OUTER)
    assert without.optimizer + weights == found.optimizer
    assert (without.state + weights, without.peak + weights) == (found.state, found.peak)


def test_attention_grows_with_the_square_of_length_and_all_else_with_length() -> None:
    short, long = (rehearsed(transformer, batch_of(3, length)) for length in (8, 16))

    assert long.linear == 2 * short.linear
    assert long.quadratic == 4 * short.quadratic
    # six attentions (two of the encoder, four of the decoder) of two products forward and five backward, 3 x 4 heads of 8
    assert 6 * 7 * 2 * 3 * 4 * 8 * 8 * 8 == short.quadratic


def test_linear_operations_are_six_for_each_weight_of_a_matrix_and_token() -> None:
    found = rehearsed(transformer, batch_of(3, 8))

    encoder = 2 * (4 * 32 * 32 + 2 * 32 * 64)
    decoder = 2 * (8 * 32 * 32 + 2 * 32 * 64)
    assert 6 * 24 * (encoder + decoder + 32 * 500) == found.linear


def test_a_storage_counts_once_and_while_it_lives() -> None:
    known = torch.zeros(100)
    with rehearsal._Storages(400, [known]) as living:
        first = torch.zeros(10)  # 40 bytes
        second = first + known[:10]
        view = second.view(2, 5).t()
        assert (480, 480) == (living.now, living.peak)
        del first
        third = torch.zeros(5)
        assert (460, 480) == (living.now, living.peak)
        del second, view, third
        assert (400, 480) == (living.now, living.peak)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_memory_is_that_of_the_update_done_in_earnest(norm: str, *, again: bool) -> None:
    """The same storages counted while real tensors are computed: no guess about what a kernel makes."""
    found = rehearsed(lambda: transformer(norm=norm), batch_of(5, 7), again=again)

    batch, module = batch_of(5, 7), transformer(norm=norm)
    optimizer = adam(module)
    if again:
        for parameter in module.parameters():
            parameter.grad = torch.zeros_like(parameter)
    begin = found.weights + (found.gradients if again else 0)
    with rehearsal._Storages(begin, list(module.parameters())) as living:
        module(batch).total.backward()
        at_pass, living.peak = living.peak, living.now
        optimizer.step()
    earnest = max(at_pass + found.optimizer, living.peak)
    assert earnest == pytest.approx(found.peak, rel=0.02)


def test_layers_that_compute_twice_take_less_memory_and_more_operations() -> None:
    def twice() -> TrainingModule:
        module = transformer(dropout=0.0)
        checkpoint_layers(module.model)
        return module

    batch = batch_of(50, 20)
    once, again = rehearsed(lambda: transformer(dropout=0.0), batch), rehearsed(twice, batch)
    # Of a layer only the input stays, and the layers are most of this model; what one of them makes is there in the end.
    assert again.peak - again.state < 0.6 * (once.peak - once.state)
    assert once.state == again.state
    # Forward is a third of what grows with tokens; the projection to the vocabulary is not computed twice.
    layers = once.linear - 6 * 32 * 500 * 1_000
    assert pytest.approx(once.linear + layers / 3, rel=1e-6) == again.linear


def test_gradients_that_are_there_already_add_to_the_peak() -> None:
    first, later = (rehearsed(transformer, batch_of(50, 7), again=again) for again in (False, True))

    assert first.peak < later.peak <= first.peak + first.gradients


def test_an_optimizer_that_keeps_nothing_takes_nothing() -> None:
    with without_values(CPU) as mode:
        module = one_product()
        batch = fake_batch(batch_of(2, 3), mode, CPU)
        found = rehearse(module, lambda: SGD(module.parameters(), 0.1), batch, "fp32", again=False)

    assert 0 == found.optimizer
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize(
    ("build", "kept"),
    # numbers by rows and columns; Adam's count of steps is a number, too
    [
        (lambda named: build_adamw(AdamWConfig(), named), lambda r, c: 2 * r * c + 1),
        (lambda named: build_adamw(AdamWConfig(kernel="foreach", amsgrad=True), named), lambda r, c: 3 * r * c + 1),
        (lambda named: build_sgd(SgdConfig(momentum=0.9), named), lambda r, c: r * c),
        (lambda named: build_adafactor(AdafactorConfig(scale_parameter=True), named), lambda r, c: r + c),
        (lambda named: build_adafactor(AdafactorConfig(beta1=0.9), named), lambda r, c: r * c + r + c),
    ],
)
def test_what_each_optimizer_keeps_of_a_matrix(
    build: Callable[[list[tuple[str, Parameter]]], Optimizer], kept: Callable[[int, int], int]
) -> None:
    with without_values(CPU) as mode:
        module = one_product()
        batch = fake_batch(batch_of(2, 3), mode, CPU)
        found = rehearse(module, lambda: build(module.trainable()), batch, "fp32", again=False)

    assert 4 * (kept(12, INNER) + kept(OUTER, INNER)) == found.optimizer


def test_values_that_are_asked_for_are_made_up() -> None:
    with without_values(CPU):
        numbers = torch.zeros(3)

        assert not (numbers > 0).any()
        assert 1.0 == numbers.sum().item()
        assert 1 == numbers.long().sum().item()


def test_what_needs_values_is_told_from_what_is_wrong() -> None:
    with without_values(CPU):
        with pytest.raises(Exception) as values:  # noqa: PT011  # torch has several classes for it
            torch.zeros(3).numpy()
        with pytest.raises(RuntimeError) as shapes:
            torch.zeros(3, 4) @ torch.zeros(3, 4)

    assert isinstance(values.value, Exception)
    assert needs_values(values.value)
    assert not needs_values(shapes.value)
