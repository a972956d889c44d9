"""Packed layers compute what the layers do that they replace, each row by itself."""

from __future__ import annotations

from typing import Literal, get_args

import pytest
import torch
from torch import Tensor, nn

from specforge.modules.packed_linear import Activation, Precision, activated, onto, pack_linear_layers

_PRECISIONS = get_args(Precision)
_TOLERANCE = {"fp32": 1e-6, "bf16": 1e-2, "int8": 1e-2}
"""Largest error as a share of the largest output: 8 bits of mantissa, or steps of 1/127."""


def _layers() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(48, 96), nn.ReLU(), nn.Sequential(nn.Linear(96, 33, bias=False)))


def _values() -> Tensor:
    """Rows of very different size."""
    return torch.randn(7, 48) * torch.logspace(-3, 3, 7)[:, None]


@pytest.mark.parametrize("precision", _PRECISIONS)
def test_the_same_to_the_last_bits_that_there_are(precision: Precision) -> None:
    layers, values = _layers(), _values()
    with torch.no_grad():
        expected = layers(values)
        assert 2 == pack_linear_layers(layers, precision)
        found = layers(values)

    error = ((found - expected).abs().amax(1) / expected.abs().amax(1)).max()
    assert (torch.float32, expected.shape) == (found.dtype, found.shape)
    assert float(error) <= 2 * _TOLERANCE[precision]
    assert (precision == "fp32") == (float(error) < 1e-5), "the precision that was asked for"


@pytest.mark.parametrize("precision", _PRECISIONS)
def test_a_row_knows_nothing_of_its_neighbours(precision: Precision) -> None:
    layers, values = _layers(), _values()
    pack_linear_layers(layers, precision)
    with torch.no_grad():
        together, alone = layers(values), torch.cat([layers(row[None]) for row in values])

    error = ((together - alone).abs().amax(1) / alone.abs().amax(1)).max()
    assert float(error) <= (0.0 if precision == "int8" else 1e-6)


@pytest.mark.parametrize("precision", _PRECISIONS)
def test_any_number_of_dimensions(precision: Precision) -> None:
    layers = _layers()
    pack_linear_layers(layers, precision)
    with torch.no_grad():
        assert (2, 3, 33) == layers(torch.randn(2, 3, 48)).shape
        assert (0, 33) == layers(torch.randn(0, 48)).shape
        assert (1, 1, 33) == layers(torch.randn(1, 1, 48)).shape


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [5, 16, 40, 400])
def test_a_single_row_is_like_others(outputs: int, *, bias: bool) -> None:
    """It is multiplied by other means; even where its numbers do not stand side by side."""
    torch.manual_seed(1)
    layer = nn.Linear(16, outputs, bias=bias)
    holder = nn.Sequential(layer)
    column = torch.randn(16, 3)[:, 1:2]
    with torch.no_grad():
        expected = holder(column.t())
        pack_linear_layers(holder, "fp32")

        torch.testing.assert_close(holder(column.t()), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(holder(column.t().expand(2, -1))[:1], expected, rtol=1e-5, atol=1e-6)
        assert holder[0] is not layer
        assert torch.equal(torch.as_tensor(holder[0].weight), layer.weight)


def test_int8_by_hand() -> None:
    """Weights 127 x 0.5 and 1 x 0.5; the inputs are 127 and -64 in steps of 2."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[63.5, 0.5]]))
        layer.bias.copy_(torch.tensor([10.0]))
    holder = nn.Sequential(layer)
    pack_linear_layers(holder, "int8")

    assert [254 * 63.5 - 128 * 0.5 + 10.0] == pytest.approx(holder(torch.tensor([[254.0, -128.3]]))[0].tolist())


@pytest.mark.parametrize("precision", _PRECISIONS)
def test_a_model_may_look_at_a_weight(precision: Precision) -> None:
    layers = _layers()
    first = layers[0]
    assert isinstance(first, nn.Linear)
    expected = first.weight.detach().clone()
    pack_linear_layers(layers, precision)

    torch.testing.assert_close(layers[0].weight.float(), expected, rtol=0.0, atol=2e-3)


def test_derived_and_wider_layers_stay() -> None:
    attention = nn.MultiheadAttention(8, 2)  # looks at its layer's weights, as its kernel asks for

    assert 0 == pack_linear_layers(attention, "int8")
    assert 0 == pack_linear_layers(nn.Sequential(nn.Linear(4, 4).double()), "fp32")


def test_without_onednn_weights_are_cast_or_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain, cast, values = _layers(), _layers(), _values()

    assert (0, 2) == (pack_linear_layers(plain, "fp32"), pack_linear_layers(cast, "bf16"))

    with torch.no_grad():
        expected, found = _layers()(values), cast(values)
    error = ((found - expected).abs().amax(1) / expected.abs().amax(1)).max()
    assert torch.float32 == found.dtype
    assert 1e-5 < float(error) <= 2 * _TOLERANCE["bf16"], "eight bits of mantissa"


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("precision", [*_PRECISIONS, "not packed"])
def test_a_non_linearity_and_a_sum_are_what_they_are_by_themselves(
    precision: Precision | Literal["not packed"], activation: Activation, rows: int
) -> None:
    torch.manual_seed(1)
    holder = nn.Sequential(nn.Linear(16, 40))
    values, sums = torch.randn(rows, 16), torch.randn(rows, 40)
    with torch.no_grad():
        output = holder(values)
        expected = getattr(nn.functional, activation)(output)
        if precision != "not packed":
            pack_linear_layers(holder, precision)
        kept = sums.clone()

        near = 1e-5 if precision in {"fp32", "not packed"} else 0.03
        torch.testing.assert_close(activated(holder[0], values, activation), expected, rtol=0.0, atol=near)
        torch.testing.assert_close(onto(holder[0], values, sums), sums + output, rtol=0.0, atol=near)
        assert torch.equal(kept, sums)
