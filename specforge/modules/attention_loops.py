"""Attention of decoding as loops over numbers, which numba compiles; the extra `numba` brings it.

The products of a step are small (5 queries of 64 numbers, say), and a library for matrices takes longer to begin one than to
compute it, copies operands that do not lie as it likes, and cannot leave out keys that a prefix does not see.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import exp, inf, sqrt
from typing import Final, ParamSpec, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]
_Arguments = ParamSpec("_Arguments")

_MATHEMATICS: Final = {"afn", "arcp", "contract", "nsz", "reassoc"}
"""Freedoms of the compiler: sums in any order, but infinities stay what they are."""


@dataclass(frozen=True, slots=True)
class AttentionLoops:
    """The compiled functions.

    Args:
        to_prefix: `attend_to_prefix`.
        to_source: `attend_to_source`.
    """

    to_prefix: Callable[[Floats, Integers, int, int, Floats, Floats, Floats], None]
    to_source: Callable[[Floats, Floats, Floats, Floats, float, Floats, Floats], None]


def loops_for(like: Tensor) -> AttentionLoops | None:
    """Return the functions for tensors of a type and on a device; None where products are computed instead."""
    return compiled_loops() if like.dtype == torch.float32 and like.device.type == "cpu" else None


@cache
def compiled_loops() -> AttentionLoops | None:
    """Return the functions, compiled or found where an earlier process left them; None without numba.

    Compiling takes two seconds, finding less than one.

    Warns:
        RuntimeWarning: numba is installed, and cannot be used.
    """
    if find_spec("numba") is None:
        return None
    flat, slots, deep = "float32[:, ::1]", "int64[:, :, ::1]", "float32[:, :, :, ::1]"
    try:
        return AttentionLoops(
            to_prefix=_compiled(attend_to_prefix, f"void({flat}, {slots}, int64, int64, {deep}, {deep}, {flat})"),
            to_source=_compiled(
                attend_to_source, f"void({flat}, {deep}, {deep}, float32[:, :, ::1], float32, {flat}, {deep})"
            ),
        )
    except Exception as error:  # noqa: BLE001  # another numpy, a missing library: products do as well
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(f"decoding goes without numba, which cannot be used: {reason}", RuntimeWarning, stacklevel=2)
        return None


def attend_to_prefix(  # noqa: C901  # one function, for numba would compile each by itself
    projected: Floats, slots: Integers, sentences: int, position: int, keys: Floats, values: Floats, found: Floats
) -> None:
    """Store the keys and values of a position, and attend to it and all before.

    Args:
        projected: [sentences x prefixes, 3 x dim] queries, keys and values. Where there is one prefix of a sentence and room for
            more, it stands for all.
        slots: [sentences, room for prefixes, capacity] which key of its sentence each prefix sees at each position; [1, …] where
            this is the same for all sentences.
        sentences: how many there are.
        position: that is stored.
        keys: [sentences or more, heads, slots, head dim], changed.
        values: [sentences or more, heads, slots, head dim], changed.
        found: [sentences x prefixes, dim], written.
    """
    rows, dim = found.shape
    tables, room, _ = slots.shape
    prefixes = rows // sentences
    heads, head_dim = keys.shape[1], keys.shape[3]
    scale = np.float32(1.0 / sqrt(head_dim))
    weights = np.empty(position + 1, np.float32)
    for sentence in range(sentences):
        table = min(sentence, tables - 1)
        for head in range(heads):
            first = head * head_dim
            for place in range(room):
                row = sentence * prefixes + min(place, prefixes - 1)
                slot = slots[table, place, position]
                for number in range(head_dim):
                    keys[sentence, head, slot, number] = projected[row, dim + first + number]
                for number in range(head_dim):
                    values[sentence, head, slot, number] = projected[row, 2 * dim + first + number]
            for place in range(prefixes):
                row = sentence * prefixes + place
                largest = np.float32(-inf)
                for at in range(position + 1):
                    slot = slots[table, place, at]
                    product = np.float32(0.0)
                    for number in range(head_dim):
                        product += projected[row, first + number] * keys[sentence, head, slot, number]
                    weights[at] = product * scale
                    largest = max(largest, weights[at])
                total = np.float32(0.0)
                for at in range(position + 1):
                    weights[at] = exp(weights[at] - largest)
                    total += weights[at]
                for number in range(head_dim):
                    found[row, first + number] = np.float32(0.0)
                for at in range(position + 1):
                    slot = slots[table, place, at]
                    weight = weights[at] / total
                    for number in range(head_dim):
                        found[row, first + number] += weight * values[sentence, head, slot, number]


def attend_to_source(
    queries: Floats, keys: Floats, values: Floats, bias: Floats, scale: float, found: Floats, weights: Floats
) -> None:
    """Attend to sources, and add what is found.

    Args:
        queries: [sentences x prefixes, heads x dim], or [sentences x prefixes, dim] where heads share them.
        keys: [sentences, heads, source length, dim].
        values: [sentences, heads, source length, dim].
        bias: added to the weights before the softmax, [sentences, heads, source length], or [sentences, 1, source length].
        scale: of products of queries and keys.
        found: as the queries, changed; heads add to the same numbers where they share them.
        weights: [sentences, heads, prefixes, source length], written.
    """
    sentences, heads, length, dim = keys.shape
    prefixes = weights.shape[2]
    step = 0 if queries.shape[1] == dim else dim
    for sentence in range(sentences):
        for head in range(heads):
            first = head * step
            biased = min(head, bias.shape[1] - 1)
            for place in range(prefixes):
                row = sentence * prefixes + place
                largest = np.float32(-inf)
                for at in range(length):
                    product = np.float32(0.0)
                    for number in range(dim):
                        product += queries[row, first + number] * keys[sentence, head, at, number]
                    product = product * scale + bias[sentence, biased, at]
                    weights[sentence, head, place, at] = product
                    largest = max(largest, product)
                total = np.float32(0.0)
                for at in range(length):
                    weight = exp(weights[sentence, head, place, at] - largest)
                    weights[sentence, head, place, at] = weight
                    total += weight
                for at in range(length):
                    weight = weights[sentence, head, place, at] / total
                    weights[sentence, head, place, at] = weight
                    for number in range(dim):
                        found[row, first + number] += weight * values[sentence, head, at, number]


def _compiled(function: Callable[_Arguments, None], signature: str) -> Callable[_Arguments, None]:
    """Return the function compiled for this processor."""
    from numba import njit

    def compiled(*, kept: bool) -> Callable[_Arguments, None]:
        return njit([signature], cache=kept, fastmath=_MATHEMATICS, error_model="numpy")(function)

    try:
        return compiled(kept=True)
    except Exception:  # noqa: BLE001  # there is no folder to keep it in, a full one, or what was kept there is broken
        return compiled(kept=False)
