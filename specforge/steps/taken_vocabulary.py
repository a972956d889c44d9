"""Tokenizer and vocabularies that preprocess takes from a model folder in place of learning them. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.canonical import digest_bytes
from specforge.foundation.errors import CorruptStateError, Place, WrongInputError
from specforge.language.model_folders import CONTENTS
from specforge.language.schema import VocabularySection
from specforge.steps.tokenizer import tokenizer_files


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken over.

    Args:
        tokenizer: its files by name.
        vocabularies: role of each text column → vocabulary.
    """

    tokenizer: dict[str, bytes]
    vocabularies: dict[str, Vocabulary]


def take_vocabulary(section: VocabularySection, roles: Sequence[str], *, joined: bool) -> Taken:
    """Read tokenizer and vocabularies of a model folder.

    Args:
        section: names the folder, absolute.
        roles: of the text columns.
        joined: whether all of them are to share one vocabulary.

    Raises:
        CorruptStateError: SF613, a file has changed; SF614, one is missing or is not what it should be.
        WrongInputError: SF702, one vocabulary is asked for, and the folder has several.
    """
    folder = Path(section.path)
    sums = _Sums(folder)
    files = tokenizer_files(folder)
    for name, data in files.items():
        sums.check(f"tokenizer/{name}", data)
    vocabularies: dict[str, Vocabulary] = {}
    for role in roles:
        name = f"vocabulary.{section.role or role}.txt"
        data = _read(folder / name)
        sums.check(name, data)
        vocabularies[role] = Vocabulary.from_bytes(data, Place(str(folder / name)))
    first = vocabularies[roles[0]]
    if joined and any(vocabulary != first for vocabulary in vocabularies.values()):
        raise WrongInputError(
            "SF702",
            "both sides are to share one vocabulary, and this folder has one for each",
            place=Place(str(folder)),
            help="write `joined_dictionary = false` in [preprocess]",
        )
    return Taken(files, vocabularies)


class _Sums:
    """The digests that a model folder says its files have."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CONTENTS
        lines = _read(self._path).decode(errors="replace").split("\n")
        self._digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}

    def check(self, name: str, data: bytes) -> None:
        if self._digests.get(name) != digest_bytes(data):
            place = Place(str(self._path.with_name(name)))
            raise CorruptStateError("SF613", f"`{name}` does not match `{CONTENTS}`", place=place)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
