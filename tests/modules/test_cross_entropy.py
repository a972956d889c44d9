"""The fused loss equals the formula, value and gradient, and the formula equals numbers made by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specforge.modules import cross_entropy as module
from specforge.modules.cross_entropy import cross_entropy, linear_cross_entropy


def test_smoothing_shares_epsilon_among_the_wrong_types() -> None:
    # probabilities 1/2, 1/4, 1/4; the right type is the first; ε = 0.2, so 0.8 on it and 0.1 on each other
    logits = torch.tensor([[log(2.0), log(1.0), log(1.0)]], dtype=torch.float64)

    total, nll = cross_entropy(logits, torch.tensor([0]), 0.2)

    assert total.item() == pytest.approx(0.8 * log(2) + 0.1 * log(4) + 0.1 * log(4))
    assert nll.item() == pytest.approx(log(2))


def test_without_smoothing_it_is_the_negative_log_likelihood() -> None:
    # two targets of probability 1/4 and 1/2
    logits = torch.tensor([[log(2.0), 0.0, 0.0], [log(2.0), 0.0, 0.0]], dtype=torch.float64)

    total, nll = cross_entropy(logits, torch.tensor([1, 0]))

    assert total.item() == pytest.approx(log(4) + log(2))
    assert nll.item() == pytest.approx(log(4) + log(2))


def _inputs(targets: int, vocabulary: int, dim: int, *, bias: bool, seed: int = 1) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(seed)
    made = [torch.randn(targets, dim), torch.randn(vocabulary, dim)] + [torch.randn(vocabulary)] * bias
    leaves = [tensor.double().requires_grad_() for tensor in made]
    return leaves, torch.randint(vocabulary, (targets,))


def _plain(leaves: list[Tensor], targets: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    features, weight, *bias = leaves
    logits = features @ weight.T + (bias[0] if bias else 0.0)
    return cross_entropy(logits, targets, label_smoothing)


def _fused(leaves: list[Tensor], targets: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    features, weight, *bias = leaves
    return linear_cross_entropy(features, weight, bias[0] if bias else None, targets, label_smoothing)


@settings(max_examples=25, deadline=None)
@given(
    targets=st.integers(1, 12),
    vocabulary=st.integers(4, 9),
    bias=st.booleans(),
    label_smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    chunk=st.integers(1, 40),
    factor=st.sampled_from([1.0, -0.37]),
)
def test_fused_equals_unfused_in_value_and_gradient_at_any_cut(
    targets: int,
    vocabulary: int,
    bias: bool,  # noqa: FBT001
    label_smoothing: float,
    chunk: int,
    factor: float,
) -> None:
    leaves, indices = _inputs(targets, vocabulary, 5, bias=bias)
    expected, expected_nll = _plain(leaves, indices, label_smoothing)
    expected_gradients = torch.autograd.grad(expected * factor, leaves)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._CHUNK_ELEMENTS, "cpu", chunk)
        total, nll = _fused(leaves, indices, label_smoothing)
        gradients = torch.autograd.grad(total * factor, leaves)

    torch.testing.assert_close(total, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(nll, expected_nll, rtol=1e-10, atol=1e-10)
    for found, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bias", [False, True])
def test_the_gradient_is_the_slope(bias: bool) -> None:  # noqa: FBT001
    leaves, indices = _inputs(3, 6, 4, bias=bias)

    assert torch.autograd.gradcheck(lambda *tensors: _fused(list(tensors), indices, 0.1)[0], leaves)


def test_the_likelihood_has_no_gradient() -> None:
    leaves, indices = _inputs(3, 6, 4, bias=True)

    total, nll = _fused(leaves, indices, 0.1)

    assert total.requires_grad
    assert not nll.requires_grad
    assert not cross_entropy(leaves[0] @ leaves[1].T, indices, 0.1)[1].requires_grad


def test_a_weight_made_of_parameters_passes_its_gradient_on() -> None:
    (features, weight), indices = _inputs(3, 6, 4, bias=False)
    gain = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)

    expected = torch.autograd.grad(cross_entropy(features @ (weight * gain).T, indices)[0], gain)
    found = torch.autograd.grad(linear_cross_entropy(features, weight * gain, None, indices)[0], gain)

    torch.testing.assert_close(found, expected)


def test_without_gradients_values_are_the_same() -> None:
    leaves, indices = _inputs(5, 6, 4, bias=True)
    expected, _ = _fused(leaves, indices, 0.1)

    with torch.no_grad():
        total, _ = _fused(leaves, indices, 0.1)

    assert not total.requires_grad
    assert total.item() == expected.item()


def test_no_targets_give_zero() -> None:
    leaves, indices = _inputs(0, 6, 4, bias=False)

    total, nll = _fused(leaves, indices, 0.1)
    total.backward()

    assert (total.item(), nll.item()) == (0.0, 0.0)
    assert leaves[1].grad is not None
    assert not bool(leaves[1].grad.any())


def test_bfloat16_autocast_stays_near_and_gives_gradients_in_the_type_of_the_weights() -> None:
    doubles, indices = _inputs(64, 200, 16, bias=True)
    leaves = [tensor.detach().float().mul(0.3).requires_grad_() for tensor in doubles]
    expected, _ = _plain(leaves, indices, 0.1)
    expected_gradient = torch.autograd.grad(expected, leaves[1])[0]

    with torch.autocast("cpu", torch.bfloat16):
        total, _ = _fused(leaves, indices, 0.1)
    gradient = torch.autograd.grad(total, leaves[1])[0]

    assert total.dtype == gradient.dtype == torch.float32
    assert total.item() == pytest.approx(expected.item(), rel=2e-3)
    assert total.item() != expected.item()  # the products were in bfloat16
    torch.testing.assert_close(gradient, expected_gradient, rtol=0.05, atol=0.02 * expected_gradient.abs().max().item())


def test_bfloat16_features_are_summed_in_float32() -> None:
    # 300 targets of loss log 4 each: bfloat16 holds eight bits, and a sum in it would stop growing at 256 x the addend
    features, weight = torch.zeros(300, 2, dtype=torch.bfloat16), torch.zeros(4, 2, dtype=torch.bfloat16)

    total, _ = linear_cross_entropy(features, weight, None, torch.zeros(300, dtype=torch.int64))

    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(300 * log(4), rel=1e-6)
