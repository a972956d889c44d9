"""Which rows of a training corpus are set aside: decided for each row by itself, by a hash, without reading the others.

So train, valid and test are disjoint, the same in every step that reads the corpus, and appending rows moves none of the
old ones. With a `distinct` column it is the text there that is hashed, so that rows that are equal in it stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

Side: TypeAlias = Literal["train", "valid", "test"]

_DIGEST_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class HoldOut:
    """A split of rows into sides.

    Args:
        seed: the spec's seed.
        valid: share of the rows for validation.
        test: share of the rows for the test.
        distinct: position of the column whose equal texts stay together; None to split by row number.
    """

    seed: int
    valid: float
    test: float
    distinct: int | None = None

    def side(self, number: int, row: Sequence[str]) -> Side:
        """Return the side of a row.

        Args:
            number: number of the row in its corpus, from 0.
            row: its texts.
        """
        text = str(number) if self.distinct is None else row[self.distinct]
        digest = blake2b(text.encode(), digest_size=_DIGEST_BYTES, key=self.seed.to_bytes(_DIGEST_BYTES)).digest()
        share = int.from_bytes(digest) / 2 ** (8 * _DIGEST_BYTES)  # even on [0, 1)
        if share < self.valid:
            return "valid"
        return "test" if share < self.valid + self.test else "train"
