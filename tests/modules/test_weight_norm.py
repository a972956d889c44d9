"""Weight norm and the scaling of gradients."""

from __future__ import annotations

import pytest
import torch

from specforge.modules.gradient import scale_gradient
from specforge.modules.weight_norm import folded, weight_norm_linear


def test_the_norm_and_the_direction_of_an_output_are_learned_apart() -> None:
    layer = weight_norm_linear(2, 1, 1.0)
    parameters = dict(layer.named_parameters())
    assert sorted(parameter.shape for parameter in parameters.values()) == [(1,), (1, 1), (1, 2)]
    with torch.no_grad():
        parameters["parametrizations.weight.original0"].fill_(10.0)  # the norm
        parameters["parametrizations.weight.original1"].copy_(torch.tensor([[3.0, 4.0]]))  # the direction, of norm 5

    assert folded(layer).weight.tolist() == [[6.0, 8.0]]
    assert folded(layer)(torch.tensor([1.0, 1.0])).tolist() == [14.0]


def test_it_starts_as_a_linear_layer_of_the_asked_variance() -> None:
    torch.manual_seed(1)
    layer = weight_norm_linear(400, 500, 4.0)

    assert folded(layer).weight.std().item() == pytest.approx(0.1, rel=0.01)  # sqrt(4 / 400)
    assert not bool(layer.bias.any())


def test_folded_weights_pass_gradients_on() -> None:
    layer = weight_norm_linear(3, 2, 1.0)

    folded(layer)(torch.ones(3)).sum().backward()

    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_only_the_gradient_is_scaled() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)

    scaled = scale_gradient(values, 0.25)
    scaled.sum().backward()

    assert torch.equal(scaled, values)
    assert values.grad is not None
    assert values.grad.tolist() == [0.25, 0.25]
