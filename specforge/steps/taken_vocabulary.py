"""Tokenizer and vocabularies that preprocess takes from a model folder in place of learning them. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from specforge.data.vocabulary import Vocabulary
from specforge.foundation.canonical import digest_bytes
from specforge.foundation.errors import Place, WrongInputError
from specforge.language.schema.data import VocabularySection
from specforge.steps.folder_digests import changed_file, folder_digests, read_file
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
    digests = folder_digests(folder)
    files = tokenizer_files(folder)
    for name, data in files.items():
        _checked(folder, f"tokenizer/{name}", data, digests)
    vocabularies: dict[str, Vocabulary] = {}
    for role in roles:
        name = f"vocabulary.{section.role or role}.txt"
        data = _checked(folder, name, read_file(folder / name), digests)
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


def _checked(folder: Path, name: str, data: bytes, digests: Mapping[str, str]) -> bytes:
    """Return what was read of a file, if it is what its folder says.

    Raises:
        CorruptStateError: SF613, it is not.
    """
    if digests.get(name) != digest_bytes(data):
        raise changed_file(folder / name, name)
    return data
