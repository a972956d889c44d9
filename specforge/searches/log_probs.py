"""From logits to what may come next: the rules that every search of symbols one by one shares."""

from __future__ import annotations

from math import inf

from torch import Tensor

from specforge.foundation.errors import StepFailedError
from specforge.plugin import Symbols


def forbid(log_probs: Tensor, symbols: Symbols, *, end: bool, end_only: Tensor | None) -> None:
    """Rule out symbols, in place.

    Args:
        log_probs: [rows, vocabulary].
        symbols: padding is always ruled out.
        end: whether to rule out the end of sentence too (the prefixes are shorter than the least length).
        end_only: [rows] of bool: prefixes of the largest length, which must end now, whatever `end` says.
    """
    ending = None if end_only is None else log_probs[end_only, symbols.eos]
    log_probs[:, symbols.pad] = -inf
    if end:
        log_probs[:, symbols.eos] = -inf
    if end_only is not None and ending is not None:
        log_probs[end_only] = -inf
        log_probs[end_only, symbols.eos] = ending


def no_output() -> StepFailedError:
    """Return the error of a search that can go nowhere: scores are not numbers, or nothing is possible."""
    return StepFailedError(
        "SF633",
        "the model's scores are not numbers, or make every output impossible",
        notes=("its weights, or what it computed from them, hold NaN or infinity",),
    )
