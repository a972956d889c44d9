"""What is exported: a trained model with all that goes with it; and the error of a format that cannot hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from specforge.data.labels import Labels
from specforge.data.vocabulary import SPECIAL_SYMBOLS, Vocabulary
from specforge.foundation.errors import Place, WrongInputError
from specforge.models.model import Model
from specforge.plugin import ComponentConfig

MOST_POSITIONS: Final = 4_096
"""Positions that are written of sinusoids, which have no end: other formats hold a table."""


@dataclass(frozen=True, slots=True)
class Exportable:
    """A trained model, ready to be written in another format.

    Args:
        use: what its spec calls it, with its distribution: `specforge/transformer`.
        model: on the CPU, in evaluation mode.
        config: of the model.
        vocabularies: role of each text column → vocabulary.
        labels: role of each column of labels → labels.
        tokenizer: config of its tokenizer.
        tokenizer_files: what the tokenizer keeps, by name.
    """

    use: str
    model: Model
    config: ComponentConfig
    vocabularies: Mapping[str, Vocabulary]
    labels: Mapping[str, Labels]
    tokenizer: ComponentConfig
    tokenizer_files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines to verify an export with.

    Args:
        lines: as they stand in the file; none is blank.
        sources: symbols of each line, without the end of sentence; for a language model those of its beginning, a prompt.
        places: where the user finds each of them.
    """

    lines: Sequence[str]
    sources: Sequence[Sequence[int]]
    places: Sequence[Place]

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.sources)


@dataclass(frozen=True, slots=True)
class Verified:
    """An export that says what the model says.

    Args:
        lines: how many lines were compared.
        values: what was compared: symbols, ends counted, or labels.
        unit: what one of them is.
        how: what was compared, in words: `greedy outputs in fp32`.
        further: what else there is to say, a sentence each.
    """

    lines: int
    values: int
    unit: str
    how: str
    further: tuple[str, ...] = ()


def all_pieces(vocabulary: Vocabulary) -> list[str]:
    """Return the piece of every index, special symbols included."""
    return [*SPECIAL_SYMBOLS, *vocabulary.pieces(range(len(SPECIAL_SYMBOLS), len(vocabulary)))]


def cannot_hold(format: str, what: str, help: str, *notes: str) -> WrongInputError:
    """Return the error of a format that cannot hold a model.

    Args:
        format: its name as people write it.
        what: what it cannot hold: `the model `specforge/fconv``.
        help: the nearest that it can.
        notes: why.
    """
    return WrongInputError("SF711", f"{format} cannot hold {what}", notes=notes, help=help)


def require(package: str, extra: str, what: str) -> None:
    """Refuse to go on without a package that is an extra.

    Args:
        package: what is imported.
        extra: the extra of specforge that installs it.
        what: what needs it.

    Raises:
        WrongInputError: SF681, it is not installed.
    """
    if find_spec(package) is None:
        raise WrongInputError(
            "SF681",
            f"{what} needs a package that is not installed: `{package}`",
            help=f"type `pip install 'specforge-compiler[{extra}]'`",
        )
