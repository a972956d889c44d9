"""Sampling: each symbol drawn by its probability, of all symbols or of the likeliest (Fan et al. 2018, Holtzman et al. 2020).

What is drawn depends on the seed, the sentence's own symbols, the number of the sample and the step, and on nothing else.
Noise is added to every log-probability and the largest sum is taken, which draws a symbol by its probability (Gumbel 1954):
that the last bits of a log-probability change with the batch then changes a draw as rarely as can be, where sums of
probabilities along the vocabulary would collect such changes.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from typing import Final

import numpy as np
import torch
from torch import Tensor

from specforge.searches.best_symbols import best_symbol, best_symbols
from specforge.searches.sampling.config import SamplingConfig
from specforge.searches.sampling.noise import gumbel, mixed
from specforge.searches.search import Search, Sources
from specforge.searches.walk import Chooser, Walk

_MOSTLY_ENOUGH: Final = 64


class SamplingSearch(Walk):
    """Draws `samples` outputs for each sentence."""

    def __init__(self, config: SamplingConfig) -> None:
        super().__init__("sampling", config, walks=config.samples, temperature=config.temperature)
        self._config = config

    def chooser(self, sources: Sources) -> Chooser:
        """Return the draws of a batch."""
        return _Draws(self._config, sources)


class _Draws(Chooser):
    def __init__(self, config: SamplingConfig, sources: Sources) -> None:
        self._top_k = config.top_k
        self._top_p = config.top_p
        self._samples = config.samples
        sentences = zip(sources.tokens.cpu().numpy(), sources.lengths.tolist(), strict=True)
        keys = [_key(config.seed, tokens[:length]) for tokens, length in sentences]
        of_sentences = torch.tensor(keys, dtype=torch.int64, device=sources.tokens.device)
        samples = torch.arange(config.samples, device=sources.tokens.device)
        self._keys = mixed(of_sentences[:, None], samples).flatten()  # [rows]

    def choose(self, values: Tensor, step: int) -> Tensor:
        """Draw; see the base class."""
        values, symbols = likeliest(values, self._top_k, self._top_p)
        noise = gumbel(mixed(self._keys, torch.full_like(self._keys, step)), symbols)
        drawn = best_symbol(values + noise)
        return symbols.expand_as(values).gather(1, drawn[:, None]).squeeze(1)

    def keep(self, sentences: Tensor) -> None:
        """Drop; see the base class."""
        self._keys = self._keys.view(-1, self._samples)[sentences].flatten()


def likeliest(values: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Return what can be drawn: log-probabilities [rows, few], -inf for what cannot, and their symbols, [rows, few] or [few].

    Args:
        values: [rows, vocabulary]; what is ruled out is -inf, so that they need not sum up to 1.
        top_k: only so many of the most probable; 0 for all.
        top_p: of these the fewest whose share in their sum reaches it.
    """
    size = values.shape[1]
    few = min(top_k, size) if top_k else size
    if few == size and top_p == 1.0:
        return values, torch.arange(size, device=values.device)
    if top_p == 1.0:
        return best_symbols(values, few)
    if top_k:
        best, symbols = best_symbols(values, few)
        return _reaching(top_p, best, best.logsumexp(dim=1, keepdim=True)), symbols
    total = values.logsumexp(dim=1, keepdim=True)
    few = _MOSTLY_ENOUGH
    while few < size:  # to rank them all is dear
        best, symbols = best_symbols(values, few)
        best = _reaching(top_p, best, total)
        if not bool(best[:, -1].isfinite().any()):
            return best, symbols
        few *= 8
    best, symbols = values.sort(dim=1, descending=True)
    return _reaching(top_p, best, total), symbols


def _reaching(top_p: float, best: Tensor, total: Tensor) -> Tensor:
    """Return log-probabilities, best first, with -inf for those behind the first whose shares reach `top_p` together.

    Args:
        top_p: the share.
        best: [rows, few] the greatest.
        total: [rows, 1] the logarithm of the sum of all.
    """
    shares = (best.double() - total.double()).exp()
    return best.masked_fill(shares.cumsum(dim=1) - shares >= top_p, -inf)


def _key(seed: int, symbols: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Return 64 bits for a sentence, as a signed number."""
    text = seed.to_bytes(8, "little") + symbols.astype("<i8").tobytes()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little", signed=True)


def build(config: SamplingConfig) -> Search:
    """Return the search."""
    return SamplingSearch(config)
