"""Cross entropy over a vocabulary, smoothed or not, from logits or fused with the projection that makes them.

With ε the label smoothing, V the vocabulary and ε_i = ε / (V - 1), the loss of a target is, as in fairseq,

    (1 - ε - ε_i) · nll + ε_i · Σ_v -log p(v)

so the target keeps 1 - ε and each of the V - 1 other types gets ε_i. (PyTorch's `label_smoothing` shares ε by all V.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

_CHUNK_ELEMENTS: Final = {"cpu": 1 << 22}
_CHUNK_ELEMENTS_ELSEWHERE: Final = 1 << 27
"""Logits that exist at a time: 16 MiB of float32 on a CPU, where larger ones cost page faults; 512 MiB elsewhere."""


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the loss and the negative log-likelihood, both summed.

    Args:
        logits: [targets, vocabulary]; the sums are taken in float32, or in float64 for float64 logits.
        targets: [targets] of int64, no padding.
        label_smoothing: ε.

    Returns:
        The loss [], and the negative log-likelihood [] without a gradient, in nats.
    """
    log_probs = functional.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    nll = -log_probs.gather(1, targets[:, None]).sum()
    if label_smoothing == 0.0:
        return nll, nll.detach()
    share = label_smoothing / (logits.shape[1] - 1)
    return (1.0 - label_smoothing - share) * nll - share * log_probs.sum(), nll.detach()


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return what `cross_entropy` does for `features @ weight.T + bias`, without ever holding all logits.

    Logits are made for some rows at a time, and the gradient is made from them at once, while they are there: on a CPU
    this is half as much again as quick, and the memory does not grow with targets x vocabulary. The products are
    computed in autocast's type where autocast is on, the softmax in float32 at least.

    Args:
        features: [targets, dim].
        weight: [vocabulary, dim].
        bias: [vocabulary], or None.
        targets: [targets] of int64, no padding.
        label_smoothing: ε.

    Returns:
        The loss [], and the negative log-likelihood [] without a gradient, in nats.
    """
    device = features.device.type
    product = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
    wanted = (features, weight) if bias is None else (features, weight, bias)
    settings = _Settings(
        label_smoothing,
        product,
        with_gradient=torch.is_grad_enabled() and any(tensor.requires_grad for tensor in wanted),
    )
    with torch.autocast(device, enabled=False):
        sums: tuple[Tensor, Tensor] = _LinearCrossEntropy.apply(features, weight, bias, targets, settings)  # type: ignore[no-untyped-call]
    return sums


@dataclass(frozen=True, slots=True)
class _Settings:
    """What does not take part in differentiation.

    Args:
        label_smoothing: ε.
        product: type of the matrix products.
        with_gradient: whether `backward` may follow.
    """

    label_smoothing: float
    product: torch.dtype
    with_gradient: bool


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]
    has_bias: bool


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, settings: _Settings
    ) -> tuple[Tensor, Tensor]:
        sums = _ChunkedSums(features, weight, bias, settings)
        rows = max(1, _CHUNK_ELEMENTS.get(features.device.type, _CHUNK_ELEMENTS_ELSEWHERE) // len(weight))
        for start in range(0, len(features), rows):
            sums.add(slice(start, start + rows), targets[start : start + rows])
        ctx.has_bias = bias is not None
        if settings.with_gradient:
            ctx.save_for_backward(*sums.gradients(features, weight, bias))
        ctx.mark_non_differentiable(sums.nll)
        return sums.total, sums.nll

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, total: Tensor, _nll: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        features, weight, *bias = ctx.saved_tensors
        scaled = total * bias[0] if ctx.has_bias else None
        return features * total.to(features.dtype), weight * total.to(weight.dtype), scaled, None, None


class _ChunkedSums:
    """The sums over the targets seen so far: loss, negative log-likelihood, and gradients of the loss."""

    def __init__(self, features: Tensor, weight: Tensor, bias: Tensor | None, settings: _Settings) -> None:
        wide = torch.promote_types(features.dtype, torch.float32)
        self._settings = settings
        self._wide = wide
        self._features = features.to(settings.product)
        self._weight = weight.to(settings.product)
        self._bias = None if bias is None else bias.to(wide)
        self.total = features.new_zeros((), dtype=wide)
        self.nll = features.new_zeros((), dtype=wide)
        if settings.with_gradient:
            self._of_features = torch.empty_like(self._features)
            self._of_weight = torch.zeros_like(weight, dtype=wide)
            self._of_bias = weight.new_zeros(len(weight), dtype=wide)

    def add(self, where: slice, targets: Tensor) -> None:
        """Count some targets in."""
        vocabulary = len(self._weight)
        share = self._settings.label_smoothing / (vocabulary - 1)
        kept = 1.0 - self._settings.label_smoothing - share
        logits = (self._features[where] @ self._weight.T).to(self._wide)
        if self._bias is not None:
            logits += self._bias
        # One exponential for each logit: what divides them follows from the largest, log p = x - log Σ exp(x).
        probabilities = logits.softmax(dim=1)
        normaliser = logits.amax(dim=1) - probabilities.amax(dim=1).log()
        nll = (normaliser - logits.gather(1, targets[:, None])[:, 0]).sum()
        self.nll += nll
        self.total += nll if share == 0.0 else kept * nll + share * (vocabulary * normaliser - logits.sum(dim=1)).sum()
        if not self._settings.with_gradient:
            return
        # d loss / d logits = softmax - ε_i everywhere, and - (1 - ε - ε_i) at the target
        slopes = probabilities
        if share != 0.0:
            slopes.sub_(share)
        slopes.scatter_add_(1, targets[:, None], slopes.new_full((), -kept).expand(len(targets), 1))
        self._add_gradients(where, slopes)

    def _add_gradients(self, where: slice, slopes: Tensor) -> None:
        """Count in what the slopes [targets, vocabulary] of the logits mean for the inputs."""
        if self._bias is not None:
            self._of_bias += slopes.sum(dim=0)
        slopes = slopes.to(self._settings.product)
        torch.mm(slopes, self._weight, out=self._of_features[where])
        if self._settings.product == self._wide:
            self._of_weight.addmm_(slopes.T, self._features[where])
        else:
            self._of_weight += slopes.T @ self._features[where]

    def gradients(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ...]:
        """Return the gradients in the types of the inputs, the bias's only where there is one."""
        both = self._of_features.to(features.dtype), self._of_weight.to(weight.dtype)
        return both if bias is None else (*both, self._of_bias.to(bias.dtype))
