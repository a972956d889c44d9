"""Attention of prefixes to their sources: what is prepared once for each source, and what each step does with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf, sqrt
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from specforge.modules.attention import CrossAttention, split_heads
from specforge.modules.attention_loops import AttentionLoops, loops_for
from specforge.modules.few_queries import VECTOR, attend_few
from specforge.modules.packed_linear import PackedLinear, onto
from specforge.modules.places import Places

_MOST: Final = 1 << 17
"""Numbers of absorbed keys up to which they are quicker. More crowd the caches of a core: with 64 sentences of 14 symbols, width 256
and a beam of 5, a step took as long as before, though it needs half the products; with width 1,024 one sentence of 64 symbols takes
889 µs a layer instead of 467."""


class SourceAttention(ABC):
    """One layer's attention to the sources of a batch, symbol by symbol; the prefixes of a sentence share its source."""

    weights: Tensor | None = None
    """[sentences, heads, prefixes, source length] how the last step weighed source symbols; None before it."""

    @abstractmethod
    def step(self, values: Tensor, sums: Tensor) -> Tensor:
        """Return sums + the output for one position of each prefix.

        Args:
            values: [sentences x prefixes, dim].
            sums: [sentences x prefixes, dim].

        Returns:
            [sentences x prefixes, dim]
        """

    @abstractmethod
    def select(self, places: Places) -> SourceAttention:
        """Return what goes on with some sentences; this one cannot be used any more."""


class ProjectedSource(SourceAttention):
    """Keys and values of the sources; queries and outputs are projected at every step.

    Args:
        attention: of the layer.
        keys: [sentences, heads, source length, head dim].
        values: [sentences, heads, source length, head dim].
        bias: [sentences, 1, source length], -inf where there is no symbol; None where there are no such places.
        in_loops: whether compiled loops may be used.
    """

    def __init__(
        self, attention: CrossAttention, keys: Tensor, values: Tensor, bias: Tensor | None, *, in_loops: bool = True
    ) -> None:
        self._attention = attention
        self._keys, self._values = keys.contiguous(), values.contiguous()  # a product would copy them, at every step
        self._bias = bias
        loops = loops_for(keys) if in_loops else None
        self._loop: _Loop | None = None
        self._bias_by_head: Tensor | None = None
        if loops is not None:
            self._loop = _Loop(loops, self._keys, self._values, bias, 1.0 / sqrt(keys.shape[3]))
        elif bias is not None:
            self._bias_by_head = bias[:, None].expand(-1, keys.shape[1], -1, -1).flatten(0, 1)

    def step(self, values: Tensor, sums: Tensor) -> Tensor:
        """Look at the sources; see the base class."""
        queries = self._attention.query(values)
        if self._loop is None:
            found = self._look_by_products(queries)
        else:
            found = torch.zeros_like(queries)
            self.weights = self._loop.add(queries, found)
        return onto(self._attention.output, found, sums)

    def _look_by_products(self, queries: Tensor) -> Tensor:
        """Return what queries find, [sentences x prefixes, dim] both."""
        sentences, heads, _, head_dim = self._keys.shape
        by_row = queries.view(sentences, -1, heads, head_dim)
        found, self.weights = attend_few(
            by_row.transpose(1, 2), self._keys.flatten(0, 1), self._values.flatten(0, 1), self._bias_by_head
        )
        return found.transpose(1, 2).reshape(queries.shape)

    def select(self, places: Places) -> SourceAttention:
        """Go on with some sentences, absorbed where they have become few; see the base class."""
        bias = None if self._bias is None else self._bias[places.sentences]
        return _quicker(self._attention, places.kept(self._keys), places.kept(self._values), bias)


class AbsorbedSource(SourceAttention):
    """Sources with the projections of queries and outputs multiplied in, so that a step needs neither.

    With q = W x + b a key k is weighed by q·k = x·(Wᵀk) + b·k, and an output O Σ wᵢ vᵢ is Σ wᵢ (O vᵢ): both brackets belong to
    the source. The weights of a head add up to 1, so that the output's bias can be part of its values.

    Args:
        attention: of the layer, its weights not rounded.
        keys: as `ProjectedSource`.
        values: as `ProjectedSource`.
        bias: as `ProjectedSource`.
    """

    def __init__(self, attention: CrossAttention, keys: Tensor, values: Tensor, bias: Tensor | None) -> None:
        sentences, heads, self._length, head_dim = keys.shape
        dim = heads * head_dim
        self._loops = loops_for(keys)
        more = max(0, VECTOR - self._length) if self._loops is None else 0
        keys, values = (
            functional.pad(each.transpose(0, 1), (0, 0, 0, more)).reshape(heads, -1, head_dim)
            for each in (keys, values)
        )  # [heads, sentences x length, head dim]
        keys = keys * (1.0 / sqrt(head_dim))
        queries = attention.query.weight.view(heads, -1, dim)  # [heads, head dim, dim]
        outputs = attention.output.weight.view(dim, heads, -1).permute(1, 2, 0)  # [heads, head dim, dim]
        mixed = torch.bmm(values, outputs)  # [heads, sentences x length, dim]
        mixed[0] += attention.output.bias
        scores = torch.bmm(keys, attention.query.bias.view(heads, -1, 1)).view(heads, sentences, -1).transpose(0, 1)
        if bias is not None:
            scores = scores + functional.pad(bias, (0, more))
        if more:
            scores[:, :, self._length :] = -inf
        self._keys = _by_sentence(torch.bmm(keys, queries), sentences)  # [sentences, heads, length, dim]
        self._values = _by_sentence(mixed, sentences)  # [sentences, heads, length, dim]
        self._bias = scores.contiguous()  # [sentences, heads, length]
        self._loop = self._made_loop()

    def step(self, values: Tensor, sums: Tensor) -> Tensor:
        """Look at the sources; see the base class."""
        if self._loop is None:
            return self._step_by_products(values, sums)
        found = sums.clone()
        self.weights = self._loop.add(values, found)
        return found

    def select(self, places: Places) -> SourceAttention:
        """Go on with some sentences; see the base class."""
        self._keys, self._values, self._bias = (places.kept(each) for each in (self._keys, self._values, self._bias))
        self._loop = self._made_loop()
        return self

    def _made_loop(self) -> _Loop | None:
        """Return the loop for the sources that there are now; None where products are computed."""
        return None if self._loops is None else _Loop(self._loops, self._keys, self._values, self._bias, 1.0)

    def _step_by_products(self, values: Tensor, sums: Tensor) -> Tensor:
        """Do what `step` does."""
        sentences, heads, length, dim = self._keys.shape
        by_sentence = (sentences, -1, dim)
        keys, mixed = self._keys.flatten(1, 2), self._values.flatten(1, 2)  # [sentences, heads x length, dim]
        scores = torch.baddbmm(self._bias.flatten(1)[:, None], values.view(by_sentence), keys.transpose(1, 2))
        weights = scores.view(sentences, -1, heads, length).softmax(dim=3)
        found = torch.baddbmm(sums.view(by_sentence), weights.flatten(2), mixed)
        self.weights = weights.transpose(1, 2)[..., : self._length]
        return found.view(values.shape)


class _Loop:
    """Attention to the sources of a batch in a compiled loop.

    Args:
        loops: compiled.
        keys: [sentences, heads, source length, dim].
        values: [sentences, heads, source length, dim].
        bias: added to the weights before the softmax, [sentences, heads or 1, source length]; None for nothing.
        scale: of products of queries and keys.
    """

    def __init__(self, loops: AttentionLoops, keys: Tensor, values: Tensor, bias: Tensor | None, scale: float) -> None:
        self._to_source = loops.to_source
        self._sizes = keys.shape[:3]
        if bias is None:
            bias = keys.new_zeros(len(keys), 1, keys.shape[2])
        self._arrays = keys.numpy(), values.numpy(), bias.numpy()
        self._scale = scale

    def add(self, queries: Tensor, found: Tensor) -> Tensor:
        """Add what queries find, and return how they weigh the source symbols, [sentences, heads, prefixes, source length].

        Args:
            queries: [sentences x prefixes, heads x dim], or [sentences x prefixes, dim] where heads share them.
            found: as the queries, changed.
        """
        sentences, heads, length = self._sizes
        weights = queries.new_empty(sentences, heads, len(queries) // sentences, length)
        self._to_source(queries.numpy(), *self._arrays, self._scale, found.numpy(), weights.numpy())
        return weights


@torch.no_grad()
def source_attention(attention: CrossAttention, memory: Tensor, bias: Tensor | None) -> SourceAttention:
    """Return a layer's attention to the sources of a batch, in the form that is quicker.

    Args:
        attention: of the layer.
        memory: [sentences, source length, dim] the sources, encoded.
        bias: [sentences, 1, source length], -inf where there is no symbol; None where there are no such places.
    """
    keys, values = split_heads(attention.key_value(memory), 2, attention.heads)
    return _quicker(attention, keys, values, bias)


@torch.no_grad()
def _quicker(attention: CrossAttention, keys: Tensor, values: Tensor, bias: Tensor | None) -> SourceAttention:
    """Return the form that is quicker: on a CPU, where keys stay few, that in which all is absorbed."""
    sentences, heads, length, head_dim = keys.shape
    few = sentences * heads * max(length, VECTOR) * heads * head_dim <= _MOST
    if few and keys.device.type == "cpu" and _is_exact(attention.query) and _is_exact(attention.output):
        return AbsorbedSource(attention, keys, values, bias)
    return ProjectedSource(attention, keys, values, bias)


def _by_sentence(values: Tensor, sentences: int) -> Tensor:
    """Return values [heads, sentences x length, dim] as [sentences, heads, length, dim]."""
    return values.view(len(values), sentences, -1, values.shape[2]).transpose(0, 1).contiguous()


def _is_exact(layer: nn.Module) -> bool:
    """Return whether a layer's weights are as it was trained, and not rounded."""
    return layer.dtype == torch.float32 if isinstance(layer, PackedLinear) else type(layer) is nn.Linear
