"""The vocabulary: which piece has which index, in the file format that fairseq's users know (`dict.txt`).

    the 29345
    ▁a 10213
    madeupword0000 0

One `piece count` a line, split at the last space, most frequent first. The four special symbols have the indices 0 to 3 and
do not stand in the file, so its first line has index 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from specforge.foundation.errors import CorruptStateError, Place, StepFailedError
from specforge.foundation.terminal import printable
from specforge.plugin import Symbols

BOS: Final = 0
PAD: Final = 1
EOS: Final = 2
UNK: Final = 3

SPECIAL_SYMBOLS: Final = ("<s>", "<pad>", "</s>", "<unk>")
"""Pieces of the indices 0 to 3. In text they are no commands: what reads `<unk>` is unknown, and so are the others."""

_SILENT: Final = frozenset({BOS, PAD, EOS})


class Vocabulary:
    """Pieces with their counts, and the index of each.

    Args:
        counts: piece → how often it was seen, in the order of their indices, special symbols excluded.

    Raises:
        StepFailedError: SF636, a piece cannot be written to a line of its own, or is a special symbol.
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        for piece in counts:
            if "\n" in piece or piece in SPECIAL_SYMBOLS:
                message = f"`{printable(piece)}` cannot be a piece of a vocabulary"
                raise StepFailedError("SF636", message, help="the tokenizer that made it is at fault")
        self._counts = dict(counts)
        self._pieces = (*SPECIAL_SYMBOLS, *self._counts)
        self._indices = {piece: index for index, piece in enumerate(self._counts, start=len(SPECIAL_SYMBOLS))}
        self.symbols: Final = Symbols(size=len(self._pieces), bos=BOS, pad=PAD, eos=EOS, unk=UNK)

    def __len__(self) -> int:
        return len(self._pieces)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and list(self._counts.items()) == list(other._counts.items())

    __hash__ = None  # type: ignore[assignment]  # compared by content, so not a key

    def index(self, piece: str) -> int:
        """Return the index of a piece, of `<unk>` when it is not in the vocabulary."""
        return self._indices.get(piece, UNK)

    def encode(self, pieces: Iterable[str]) -> list[int]:
        """Return the index of each piece; the end of sentence is not added."""
        known = self._indices
        return [known.get(piece, UNK) for piece in pieces]

    def first_difference(self, other: Vocabulary) -> int | None:
        """Return the first index that stands for another piece in another vocabulary, or None where all stand for the same."""
        if self._pieces == other._pieces:
            return None
        pairs = zip(self._pieces, other._pieces, strict=False)
        different = (index for index, (mine, theirs) in enumerate(pairs) if mine != theirs)
        return next(different, min(len(self), len(other)))

    @staticmethod
    def line(index: int) -> int:
        """Return the line of the file, from 1, on which the piece of an index stands."""
        return index - len(SPECIAL_SYMBOLS) + 1

    def pieces(self, indices: Iterable[int]) -> list[str]:
        """Return the piece of each index, leaving out `<s>`, `<pad>` and `</s>`; unknown is `<unk>`."""
        return [self._pieces[index] for index in indices if index not in _SILENT]

    def to_bytes(self) -> bytes:
        """Return the file; equal vocabularies give equal bytes."""
        return "".join(f"{piece} {count}\n" for piece, count in self._counts.items()).encode()

    @classmethod
    def from_bytes(cls, data: bytes, place: Place | None = None) -> Vocabulary:
        """Return the vocabulary of a file.

        Args:
            data: as `to_bytes` wrote it.
            place: the file, for the error.

        Raises:
            CorruptStateError: SF614, it is no such file.
        """
        counts: dict[str, int] = {}
        lines = data.removesuffix(b"\n").split(b"\n") if data else []
        for number, line in enumerate(lines, start=1):
            entry = _entry(line)
            if entry is None or entry[0] in counts or entry[0] in SPECIAL_SYMBOLS:
                where = None if place is None else Place(place.path, number)
                message = f"not a line of a vocabulary: `{printable(line.decode(errors='replace'))}`"
                raise CorruptStateError("SF614", message, place=where)
            counts[entry[0]] = entry[1]
        return cls(counts)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, threshold: int = 0, nwords: int | None = None, padding_factor: int = 8
    ) -> Vocabulary:
        """Choose the pieces of a vocabulary, by the rules of `fairseq-preprocess`.

        Args:
            counts: piece → how often it was seen.
            threshold: pieces seen less often become unknown.
            nwords: largest size, special symbols counted, fillers not; None for no limit.
            padding_factor: the size is filled up to a multiple of this with `madeupword0000`, `madeupword0001`, …

        Returns:
            The vocabulary, most frequent pieces first, equally frequent ones by code point.
        """
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = {piece: count for piece, count in ranked if count >= threshold and piece not in SPECIAL_SYMBOLS}
        if nwords is not None:
            kept = dict(list(kept.items())[: nwords - len(SPECIAL_SYMBOLS)])
        missing = -(len(kept) + len(SPECIAL_SYMBOLS)) % padding_factor
        return cls(kept | dict.fromkeys(_fillers(kept, missing), 0))


def _entry(line: bytes) -> tuple[str, int] | None:
    """Return the piece and the count of a line, or None when it does not hold these."""
    try:
        piece, count = line.decode().rsplit(" ", 1)
        return piece, int(count)
    except ValueError:
        return None


def _fillers(taken: Mapping[str, int], number: int) -> Sequence[str]:
    """Return names for types that stand for nothing; a text that contains such a name keeps it."""
    names: list[str] = []
    candidate = 0
    while len(names) < number:
        name = f"madeupword{candidate:04d}"
        if name not in taken:
            names.append(name)
        candidate += 1
    return names
