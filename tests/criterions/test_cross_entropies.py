"""Criterions: numbers made by hand, padding without weight, and the fused way equal to the plain one."""

from __future__ import annotations

import json
from math import log

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from specforge.criterions.criterion import Criterion
from specforge.criterions.cross_entropy.config import CrossEntropyConfig
from specforge.criterions.cross_entropy.loss import build as build_cross_entropy
from specforge.criterions.label_smoothed_cross_entropy.config import LabelSmoothedCrossEntropyConfig
from specforge.criterions.label_smoothed_cross_entropy.loss import build as build_label_smoothed
from specforge.data.batch import Batch, SequencePairBatch
from specforge.models.model import DecodingState, EncoderDecoder, OutputLayer
from specforge.plugin import ModelContext, Symbols

PAD = 1
CONTEXT = ModelContext({"source": Symbols(5), "target": Symbols(5)})


class OneHotModel(EncoderDecoder):
    """Features are the symbol read, one-hot; logits are rows of a table, so every probability can be chosen."""

    def __init__(self, table: Tensor, *, fused: bool, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(table.T.clone())  # [vocabulary, symbols]
        self.bias = None if bias is None else torch.nn.Parameter(bias)
        self.fused = fused

    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        return torch.nn.functional.one_hot(batch.target_in, self.weight.shape[1]).to(self.weight.dtype)

    def project(self, features: Tensor) -> Tensor:
        return torch.nn.functional.linear(features, self.weight, self.bias)

    def output_layer(self) -> OutputLayer | None:
        return OutputLayer(self.weight, self.bias) if self.fused else None

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        raise NotImplementedError

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        raise NotImplementedError


def _batch(targets: list[list[int]]) -> SequencePairBatch:
    width = max(map(len, targets))
    lengths = torch.tensor([len(target) for target in targets])

    def padded(rows: list[list[int]]) -> Tensor:
        return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])

    inputs = padded([[2, *target[:-1]] for target in targets])
    return SequencePairBatch(inputs, lengths, inputs, padded(targets), lengths, target_tokens=int(lengths.sum()))


def _smoothed(label_smoothing: float) -> Criterion:
    return build_label_smoothed(LabelSmoothedCrossEntropyConfig(label_smoothing=label_smoothing), CONTEXT)


# After EOS (2) the five types have probabilities 1/2, 1/8, 1/8, 1/8, 1/8; after type 3 they are all equal.
TABLE = torch.zeros(5, 5, dtype=torch.float64)
TABLE[2, 0] = log(4)


@pytest.mark.parametrize("fused", [True, False])
def test_the_loss_by_hand(fused: bool) -> None:  # noqa: FBT001
    model = OneHotModel(TABLE, fused=fused)
    batch = _batch([[3, 2], [0]])  # EOS → 3, 3 → EOS; EOS → 0 and one place of padding

    plain = build_cross_entropy(CrossEntropyConfig(), CONTEXT)(model, batch)
    smoothed = _smoothed(0.4)(model, batch)

    nll = log(8) + log(5) + log(2)
    assert plain.total.item() == pytest.approx(nll)
    assert plain.nll.item() == pytest.approx(nll)
    assert plain.count == smoothed.count == 3
    # the target keeps 0.6, each of the four others gets 0.1
    first = 0.6 * log(8) + 0.1 * (log(2) + 3 * log(8))
    second = log(5)
    third = 0.6 * log(2) + 0.1 * 4 * log(8)
    assert smoothed.total.item() == pytest.approx(first + second + third)
    assert smoothed.nll.item() == pytest.approx(nll)
    assert not smoothed.nll.requires_grad


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [False, True])
def test_fused_and_plain_give_the_same_loss_and_gradient(label_smoothing: float, bias: bool) -> None:  # noqa: FBT001
    torch.manual_seed(1)
    table, shift = torch.randn(5, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    results = []
    for fused in (True, False):
        model = OneHotModel(table, fused=fused, bias=shift.clone() if bias else None)
        loss = _smoothed(label_smoothing)(model, _batch([[3, 0, 2], [4, 2], [2]]))
        loss.total.backward()
        results.append([loss.total.detach(), loss.nll, *(parameter.grad for parameter in model.parameters())])

    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
def test_padding_has_no_weight(fused: bool) -> None:  # noqa: FBT001
    torch.manual_seed(1)
    model = OneHotModel(torch.randn(5, 5, dtype=torch.float64), fused=fused)
    together = _smoothed(0.1)(model, _batch([[2], [3, 0, 2]]))  # the padding stands between targets
    apart = [_smoothed(0.1)(model, _batch([target])) for target in ([3, 0, 2], [2])]

    assert together.total.item() == pytest.approx(sum(loss.total.item() for loss in apart))
    assert together.nll.item() == pytest.approx(sum(loss.nll.item() for loss in apart))
    assert together.count == sum(loss.count for loss in apart)


def test_no_smoothing_is_cross_entropy() -> None:
    model, batch = OneHotModel(TABLE, fused=True), _batch([[3, 0, 2]])

    plain = build_cross_entropy(CrossEntropyConfig(), CONTEXT)(model, batch)

    assert _smoothed(0.0)(model, batch).total.item() == plain.total.item()


def test_smoothing_is_a_number_from_zero() -> None:
    assert LabelSmoothedCrossEntropyConfig().label_smoothing == 0.1
    for wrong in (-0.1, "0.1", True):
        with pytest.raises(ValidationError):
            LabelSmoothedCrossEntropyConfig.model_validate_json(json.dumps({"label_smoothing": wrong}))
    with pytest.raises(ValidationError):
        CrossEntropyConfig.model_validate_json('{"label_smoothing": 0.1}')
