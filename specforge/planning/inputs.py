"""Inputs: the data files that a spec names, inspected, with the roles that keys know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.quantities import counted
from specforge.language.model_folders import CONTENTS
from specforge.language.spec import REFERENCE, CorpusFiles, Spec
from specforge.planning.plan import InputFile
from specforge.planning.world import Files
from specforge.plugin import TaskConfig

TABLE: Final = ""
"""What `CorpusFiles.files` calls a corpus that is one file."""

PROMPTS: Final = "prompts"
ENSEMBLE: Final = "ensemble"
LANGUAGE_MODEL: Final = "language_model"
RERANK: Final = "rerank"
VOCABULARY: Final = "vocabulary"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of every corpus of a spec, by column name (`TABLE` for a table).

    Args:
        train: one entry for each training corpus.
        valid: None where validation data are held out from the training corpora.
        tests: by the name of the test; one that is held out is not among them.
        prompts: None where there are none.
        folders: the file that tells what is in a model folder, by role: `ensemble/0`, `language_model`, `rerank`, `vocabulary`.
    """

    train: tuple[Mapping[str, InputFile], ...]
    valid: Mapping[str, InputFile] | None
    tests: Mapping[str, Mapping[str, InputFile]]
    prompts: Mapping[str, InputFile] | None = None
    folders: Mapping[str, InputFile] = field(default_factory=dict)


def inspect_inputs(spec: Spec, files: Files) -> Inputs:
    """Read (or remember) every data file of a spec, those of the tests too, before anything runs.

    Raises:
        WrongInputError: a file is missing, empty or not UTF-8 text, or parallel files differ in their number of lines.
    """
    reader = _Reader(spec, files)
    train = tuple(reader.read(corpus, f"train/{number}") for number, corpus in enumerate(spec.train_corpora))
    valid = None if spec.valid_corpus is None else reader.read(spec.valid_corpus, "valid")
    tests = {name: reader.read(corpus, "test") for name, corpus in spec.test_corpora.items()}
    prompts = None if spec.prompt_corpus is None else reader.read(spec.prompt_corpus, PROMPTS)
    folders = {role: reader.contents(folder, role) for role, folder in model_folders(spec).items()}
    if reader.errors:
        raise _first_of(reader.errors)
    known = {role: file for role, file in folders.items() if file is not None}
    return Inputs(train, valid, tests, prompts, known)


def model_folders(spec: Spec) -> dict[str, Path]:
    """Return the model folders that a spec names, by role."""
    found = {f"{ENSEMBLE}/{number}": Path(folder) for number, folder in enumerate(spec.generate.ensemble)}
    if spec.preprocess.vocabulary is not None:
        found[VOCABULARY] = Path(spec.preprocess.vocabulary.path)
    if spec.generate.language_model is not None:
        found[LANGUAGE_MODEL] = Path(spec.generate.language_model.path)
    if spec.generate.rerank is not None and spec.generate.rerank.path is not None:
        found[RERANK] = Path(spec.generate.rerank.path)
    return found


def with_roles_of(task: TaskConfig, inputs: Inputs) -> Inputs:
    """Return inputs with the roles that their columns have in a task; a column that it does not have keeps its role."""
    roles = {column.name: column.role for column in task.columns()}

    def relabelled(files: Mapping[str, InputFile]) -> dict[str, InputFile]:
        return {column: _with_role(file, roles.get(column)) for column, file in files.items()}

    return Inputs(
        tuple(relabelled(files) for files in inputs.train),
        None if inputs.valid is None else relabelled(inputs.valid),
        {name: relabelled(files) for name, files in inputs.tests.items()},
        None if inputs.prompts is None else relabelled(inputs.prompts),
        inputs.folders,
    )


def _with_role(file: InputFile, role: str | None) -> InputFile:
    corpus, _, former = file.role.rpartition("/")
    return file if role is None or former.startswith(REFERENCE) else replace(file, role=f"{corpus}/{role}")


class _Reader:
    """Inspects corpora and goes on after an error, so that all wrong files are named at once."""

    def __init__(self, spec: Spec, files: Files) -> None:
        self._roles = {column.name: column.role for column in spec.task.columns()}
        self._files = files
        self.errors: list[WrongInputError] = []

    def read(self, corpus: CorpusFiles, role: str) -> dict[str, InputFile]:
        found: dict[str, InputFile] = {}
        names = {**self._roles, **{name: f"{REFERENCE}{nth}" for nth, name in enumerate(corpus.references)}}
        for column, path in corpus.files.items():
            try:
                facts = self._files.inspect(path)
            except WrongInputError as error:
                self.errors.append(error)
                continue
            name = role if column == TABLE else f"{role}/{names[column]}"
            found[column] = InputFile(name, path, facts.digest, facts.lines, facts.crlf)
        unequal = _unequal(corpus, found) if found else None
        if unequal is not None:
            self.errors.append(unequal)
        return found

    def contents(self, folder: Path, role: str) -> InputFile | None:
        """Return the file that tells what is in a model folder."""
        path = folder / CONTENTS
        try:
            facts = self._files.inspect(path)
        except WrongInputError as error:
            self.errors.append(error)
            return None
        return InputFile(role, path, facts.digest, facts.lines, facts.crlf)


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
