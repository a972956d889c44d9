"""Inputs: the data files that a spec names, inspected, with the roles that keys know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.quantities import counted
from specforge.language.spec import CorpusFiles, Spec
from specforge.planning.plan import InputFile
from specforge.planning.world import Files
from specforge.plugin import TaskConfig

TABLE: Final = ""
"""What `CorpusFiles.files` calls a corpus that is one file."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of every corpus of a spec, by column name (`TABLE` for a table).

    Args:
        train: one entry for each training corpus.
        valid: None where validation data are held out from the training corpora.
        tests: by the name of the test; one that is held out is not among them.
    """

    train: tuple[Mapping[str, InputFile], ...]
    valid: Mapping[str, InputFile] | None
    tests: Mapping[str, Mapping[str, InputFile]]


def inspect_inputs(spec: Spec, files: Files) -> Inputs:
    """Read (or remember) every data file of a spec, those of the tests too, before anything runs.

    Raises:
        WrongInputError: a file is missing, empty or not UTF-8 text, or parallel files differ in their number of lines.
    """
    reader = _Reader(spec, files)
    train = tuple(reader.read(corpus, f"train/{number}") for number, corpus in enumerate(spec.train_corpora))
    valid = None if spec.valid_corpus is None else reader.read(spec.valid_corpus, "valid")
    tests = {name: reader.read(corpus, "test") for name, corpus in spec.test_corpora.items()}
    if reader.errors:
        raise _first_of(reader.errors)
    return Inputs(train, valid, tests)


def with_roles_of(task: TaskConfig, inputs: Inputs) -> Inputs:
    """Return inputs with the roles that their columns have in a task; a column that it does not have keeps its role."""
    roles = {column.name: column.role for column in task.columns()}

    def relabelled(files: Mapping[str, InputFile]) -> dict[str, InputFile]:
        return {
            column: replace(file, role=f"{file.role.rpartition('/')[0]}/{roles[column]}") if column in roles else file
            for column, file in files.items()
        }

    return Inputs(
        tuple(relabelled(files) for files in inputs.train),
        None if inputs.valid is None else relabelled(inputs.valid),
        {name: relabelled(files) for name, files in inputs.tests.items()},
    )


class _Reader:
    """Inspects corpora and goes on after an error, so that all wrong files are named at once."""

    def __init__(self, spec: Spec, files: Files) -> None:
        self._roles = {column.name: column.role for column in spec.task.columns()}
        self._files = files
        self.errors: list[WrongInputError] = []

    def read(self, corpus: CorpusFiles, role: str) -> dict[str, InputFile]:
        found: dict[str, InputFile] = {}
        for column, path in corpus.files.items():
            try:
                facts = self._files.inspect(path)
            except WrongInputError as error:
                self.errors.append(error)
                continue
            name = role if column == TABLE else f"{role}/{self._roles[column]}"
            found[column] = InputFile(name, path, facts.digest, facts.lines, facts.crlf)
        unequal = _unequal(corpus, found) if found else None
        if unequal is not None:
            self.errors.append(unequal)
        return found


def _unequal(corpus: CorpusFiles, found: Mapping[str, InputFile]) -> WrongInputError | None:
    shortest, longest = (choose(found.values(), key=lambda file: file.lines) for choose in (min, max))
    if shortest.lines == longest.lines:
        return None
    notes = [f"`{file.path}` has {counted(file.lines, 'line')}" for file in (shortest, longest)]
    if corpus.place is not None:
        notes.append(f"named at {corpus.place}")
    return WrongInputError(
        "SF503",
        f"parallel text of unequal length: this line has no partner in `{shortest.path.name}`",
        place=Place(str(longest.path), shortest.lines + 1),
        notes=tuple(notes),
    )


def _first_of(errors: list[WrongInputError]) -> WrongInputError:
    first, *others = errors
    more = tuple(f"also wrong: {error.place}: {error.message}" for error in others)
    return WrongInputError(first.code, first.message, place=first.place, notes=first.notes + more, help=first.help)
