"""Bootstrap resamples of a test: sentences drawn with replacement, as many as it has. Free of torch.

The draws are sacrebleu's, so that its metrics and others stand on the same ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1_000

SEED: Final = 12_345
"""Of the resamples: sacrebleu's own default, whatever SACREBLEU_SEED says, so that a figure can be printed again."""

_SEED_VARIABLE: Final = "SACREBLEU_SEED"


def drawn(sentences: int, resamples: int) -> NDArray[np.int64]:
    """Return the sentences of each resample: [resamples, sentences] numbers from 0."""
    return np.random.default_rng(SEED).choice(sentences, size=(resamples, sentences), replace=True)


@contextmanager
def sacrebleu_seed() -> Iterator[None]:
    """Let sacrebleu draw by our seed; it knows no other way than a variable of the environment."""
    former = os.environ.get(_SEED_VARIABLE)
    os.environ[_SEED_VARIABLE] = str(SEED)
    try:
        yield
    finally:
        del os.environ[_SEED_VARIABLE]
        if former is not None:
            os.environ[_SEED_VARIABLE] = former
