"""What becomes of a line: its outputs as text, with all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from specforge.generation.lines import Line

Alignment: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of source and target units, counted from 0, by target."""

AlignedUnits: TypeAlias = Literal["pieces", "words"]

TooLong: TypeAlias = Literal["error", "keep", "truncate", "split"]
"""What is done about a line with more tokens than the model has positions."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be known of each line.

    Args:
        nbest: outputs of each line at most; there are as many as the search finds.
        alignment: between which units; None for none.
        replace_unk: whether an unknown piece of the output becomes the source piece that it looks at most.
        too_long: what is done about a line that the model cannot take.
        continued: whether an output goes on with its line, so that its text begins with it.
    """

    nbest: int = 1
    alignment: AlignedUnits | None = None
    replace_unk: bool = False
    too_long: TooLong = "error"
    continued: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """One translation of a line.

    Args:
        text: never holds a line end.
        pieces: before the tokenizer joined them.
        score: what the search ranked it by, in nats.
        token_scores: log-probability of each piece, the end of sentence last, in nats.
        alignment: where it was asked for.
    """

    text: str
    pieces: tuple[str, ...] = ()
    score: float = 0.0
    token_scores: tuple[float, ...] = ()
    alignment: Alignment | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """What became of a line.

    Args:
        line: the line.
        outputs: its translations, best first, at least one.
        source_pieces: the line as it was cut, an unknown piece as the text that it stands for.
        unknown: pieces of the source that are not in the vocabulary.
        too_long: whether it was longer than the model's positions.
    """

    line: Line
    outputs: tuple[Output, ...]
    source_pieces: tuple[str, ...] = ()
    unknown: int = 0
    too_long: bool = False

    @property
    def source(self) -> str:
        """The text that was translated."""
        return self.line.text

    @property
    def text(self) -> str:
        """The best output's text."""
        return self.outputs[0].text

    @property
    def pieces(self) -> tuple[str, ...]:
        """The best output's pieces."""
        return self.outputs[0].pieces

    @property
    def score(self) -> float:
        """The best output's score."""
        return self.outputs[0].score


def joined(parts: Sequence[Output], sources: Sequence[int], targets: Sequence[int]) -> Output:
    """Return the outputs of the parts of a line as one: its score is the mean of theirs, weighted by their tokens.

    Args:
        parts: in their order.
        sources: units that the source of each has, of those that are aligned.
        targets: the same of the outputs.
    """
    tokens = [len(part.token_scores or part.pieces) for part in parts]
    ends = parts[-1].token_scores[-1:]
    return Output(
        text=" ".join(part.text for part in parts if part.text),
        pieces=tuple(piece for part in parts for piece in part.pieces),
        score=sum(part.score * count for part, count in zip(parts, tokens, strict=True)) / max(1, sum(tokens)),
        token_scores=(*(score for part in parts for score in part.token_scores[:-1]), *ends),
        alignment=_shifted(parts, sources, targets),
    )


def _shifted(parts: Sequence[Output], sources: Sequence[int], targets: Sequence[int]) -> Alignment | None:
    pairs: list[tuple[int, int]] = []
    source = target = 0
    for part, source_units, target_units in zip(parts, sources, targets, strict=True):
        if part.alignment is None:
            return None
        pairs += [(source + one, target + other) for one, other in part.alignment]
        source += source_units
        target += target_units
    return tuple(pairs)
