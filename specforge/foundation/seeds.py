"""Seeds for everything random, each derived from the spec's seed and from what it is for.

Whoever needs randomness asks for the seed of exactly that purpose, so that nothing depends on what ran before: a resumed
run, another number of devices or another order of steps draw the same numbers.
"""

from __future__ import annotations

import hashlib

from specforge.foundation.canonical import canonical_json


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed for one purpose.

    Args:
        seed: the spec's seed.
        purpose: what it is for, in words and numbers: `"dropout", update, micro_batch`.

    Returns:
        A number below 2^63, the first bits of the SHA-256 over all arguments.
    """
    digest = hashlib.sha256(canonical_json([seed, *purpose])).digest()
    return int.from_bytes(digest[:8], "big") >> 1
