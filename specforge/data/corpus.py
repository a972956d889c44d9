"""The indexed corpus: token indices of all items of a split, back to back in one file per column, mapped into memory.

    corpus.json              what is there: `CorpusFacts`
    <split>.<role>.tokens    unsigned 16- or 32-bit integers, little-endian; each item ends with the end-of-sentence symbol
    <split>.<role>.offsets   signed 64-bit integers: where each item begins, in tokens, and at last where the last one ends

Opening reads no tokens, so that processes share them through the page cache and a corpus may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, Place

DESCRIPTION: Final = "corpus.json"

TokenType: TypeAlias = Literal["uint16", "uint32"]
OFFSET_TYPE: Final = np.dtype("<i8")
_SMALL_VOCABULARY: Final = 65_500  # fairseq's border, a little below 2^16
_Scalar = TypeVar("_Scalar", bound=np.generic)


class _Facts(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Segment(_Facts):
    """Items [start, stop) of the training split that come from one corpus of the spec."""

    start: int
    stop: int


class SplitFacts(_Facts):
    """How much a split holds: items, and tokens by role, ends of sentence counted."""

    items: int
    tokens: dict[str, int]


class CorpusFacts(_Facts):
    """What `corpus.json` says.

    Args:
        format: version of this layout.
        roles: column roles, in the task's order.
        joined: whether all roles share one vocabulary.
        dtype: role → type of its tokens.
        splits: `train` and `valid`.
        segments: for each training corpus, in the spec's order, which items of `train` are its.
    """

    format: Literal[1] = 1
    roles: list[str]
    joined: bool
    dtype: dict[str, TokenType]
    splits: dict[str, SplitFacts]
    segments: list[Segment]


def token_type(vocabulary_size: int) -> TokenType:
    """Return the smallest type that holds all indices of a vocabulary, as fairseq chooses it."""
    return "uint16" if vocabulary_size < _SMALL_VOCABULARY else "uint32"


def token_dtype(name: TokenType) -> np.dtype[np.unsignedinteger]:
    """Return the numpy type of tokens in a file."""
    return np.dtype(name).newbyteorder("<")


def read_facts(folder: Path) -> CorpusFacts:
    """Return what a preprocess result says about itself.

    Raises:
        CorruptStateError: SF614, `corpus.json` is missing or no such description.
    """
    path = folder / DESCRIPTION
    try:
        return CorpusFacts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    except ValidationError as error:
        message = f"not the description of a corpus: {error.errors()[0]['msg'].lower()}"
        raise CorruptStateError("SF614", message, place=Place(str(path))) from error


def write_facts(folder: Path, facts: CorpusFacts) -> None:
    """Write `corpus.json`."""
    durable.write_json(folder / DESCRIPTION, json.loads(facts.model_dump_json()))


class IndexedCorpus:
    """A split of a preprocess result.

    Args:
        tokens: role → [tokens], all items back to back.
        offsets: role → [items + 1].
    """

    def __init__(
        self, tokens: Mapping[str, NDArray[np.unsignedinteger]], offsets: Mapping[str, NDArray[np.int64]]
    ) -> None:
        self._tokens = tokens
        self._offsets = offsets
        self._items = len(next(iter(offsets.values()))) - 1

    @classmethod
    def open(cls, folder: Path, name: str, roles: Sequence[str]) -> IndexedCorpus:
        """Map a split into memory.

        Args:
            folder: result of the preprocess step.
            name: the split, `train` or `valid`.
            roles: the columns to open.

        Raises:
            CorruptStateError: SF614, a file is missing or has not the size that `corpus.json` says.
        """
        facts = read_facts(folder)
        split = facts.splits.get(name)
        if split is None or not set(roles) <= set(facts.dtype):
            raise CorruptStateError("SF614", f"there is no `{name}` of {', '.join(roles)}", place=Place(str(folder)))
        tokens: dict[str, NDArray[np.unsignedinteger]] = {}
        offsets: dict[str, NDArray[np.int64]] = {}
        for role in roles:
            dtype = token_dtype(facts.dtype[role])
            offsets[role] = _mapped(folder / f"{name}.{role}.offsets", OFFSET_TYPE, split.items + 1)
            tokens[role] = _mapped(folder / f"{name}.{role}.tokens", dtype, split.tokens[role])
            if offsets[role][0] != 0 or offsets[role][-1] != split.tokens[role]:
                place = Place(str(folder / f"{name}.{role}.offsets"))
                raise CorruptStateError("SF614", "the offsets do not fit the tokens", place=place)
        return cls(tokens, offsets)

    def __len__(self) -> int:
        return self._items

    def lengths(self, items: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.int64]]:
        """Return the length of items by role, end of sentence counted: [items].

        Args:
            items: numbers of the items; None for all. Reading some takes no memory for the others.
        """
        if items is None:
            return {role: np.diff(offsets) for role, offsets in self._offsets.items()}
        return {role: offsets[items + 1] - offsets[items] for role, offsets in self._offsets.items()}

    def offset(self, role: str, item: int) -> int:
        """Return how many tokens of a column stand before an item; before one past the last: all."""
        return int(self._offsets[role][item])

    def tokens(self, role: str, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Return the tokens [start, stop) of a column, whatever items they belong to; a view into the file."""
        return self._tokens[role][start:stop]

    def item(self, index: int) -> dict[str, NDArray[np.unsignedinteger]]:
        """Return the tokens of an item by role, end of sentence included; views into the files."""
        return {
            role: self._tokens[role][offsets[index] : offsets[index + 1]] for role, offsets in self._offsets.items()
        }


def _mapped(path: Path, dtype: np.dtype[_Scalar], length: int) -> NDArray[_Scalar]:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    if size != length * dtype.itemsize:
        message = f"{size:,} bytes where {DESCRIPTION} says {length * dtype.itemsize:,}"
        raise CorruptStateError("SF614", message, place=Place(str(path)))
    if length == 0:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")
