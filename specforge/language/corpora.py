"""The corpora of a spec: which files they are, whether they are there, and whether the ways to get a valid and a test agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.foundation.terminal import printable
from specforge.foundation.text_files import COMPRESSIONS, find_text_file
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.messages.suggest import nearest
from specforge.language.messages.wording import table_name
from specforge.language.normalise import SINGLE_TEST
from specforge.language.schema.data import NAME_PATTERN, Corpus, DataSection
from specforge.language.spec import CorpusFiles

if TYPE_CHECKING:
    from specforge.language.merge import Merged
    from specforge.language.spec import ValuePath

RESERVED_TESTS: Final = frozenset(
    {"best", "last", "average", "average_best", "logs", "plan.json", "scores.json", "sweep.json"}
)
"""Names that a run's folder has for other things than a test."""

_ABOUT_FILES: Final = ("path", "format", "header", "columns")

_NOT_FOUND: Final = "not found"
_ELSEWHERE: Final = """where all data lie elsewhere, say where: --set 'data.root="FOLDER"'"""

_MOST_NAMES: Final = 10_000  # of a folder, looked through for a name that is near


@dataclass(slots=True)
class Corpora:
    """The corpora of a spec with their files.

    Args:
        train, valid, test, held_out_test, prompts: as in `Spec`.
        diagnostics: what is wrong with them.
    """

    train: list[CorpusFiles] = field(default_factory=list)
    valid: CorpusFiles | None = None
    test: dict[str, CorpusFiles] = field(default_factory=dict)
    held_out_test: bool = False
    prompts: CorpusFiles | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)


def check_corpora(
    data: DataSection,
    merged: Merged,
    columns: Sequence[str] | None,
    intact: Callable[[ValuePath], bool],
    scored: str | None = None,
) -> Corpora:
    """Find the files of all corpora and check what they say of each other.

    Args:
        data: the checked section.
        merged: for places, and the folders that paths start from.
        columns: the task's columns; None when the task is not known, and then no files are looked for.
        intact: whether nothing was left out of the section at, above or below a path, because it is wrong.
        scored: the one of them that outputs are scored against, where that may be others instead.
    """
    checker = _Checker(merged, columns, intact, scored)
    found = Corpora()
    for index, corpus in enumerate(data.train):
        found.train += checker.corpus(corpus, ("data", "train", index), training=True)
    if data.valid is not None:
        found.valid = next(iter(checker.corpus(data.valid, ("data", "valid"), training=False)), None)
    if data.prompts is not None:
        found.prompts = next(iter(checker.corpus(data.prompts, ("data", "prompts"), training=False)), None)
    for name, corpus in data.test.items():
        checker.test_name(name)
        for files in checker.corpus(corpus, ("data", "test", name), training=False, test=True):
            found.test[name] = files
    found.held_out_test = checker.sources(data)
    found.diagnostics = checker.diagnostics
    return found


def data_path(merged: Merged, path: ValuePath, value: str) -> Path:
    """Return a data path from its own start: `data.root`, else the folder of the file that says it.

    Args:
        merged: knows who says what.
        path: where the spec says it: `("data", "valid", "path")`, or `("data", "root")`.
        value: what it says there.
    """
    root = merged.at(("data", "root"))
    if isinstance(root, str) and path != ("data", "root"):
        return data_path(merged, ("data", "root"), root) / value
    layer = merged.layer_of(path)
    return (Path.cwd() if layer is None else layer.source.folder) / value


class _Checker:
    def __init__(
        self,
        merged: Merged,
        columns: Sequence[str] | None,
        intact: Callable[[ValuePath], bool],
        scored: str | None,
    ) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._scored = scored
        self._intact = intact
        self._merged = merged
        self._columns = columns

    def _report(
        self,
        code: str,
        message: str,
        *labels: tuple[ValuePath, str],
        notes: tuple[str, ...] = (),
        help_text: str | None = None,
    ) -> None:
        """Add a diagnostic with a label at each of some paths, the first one primary."""
        drawn = [self._merged.label(path, text, primary=nth == 0) for nth, (path, text) in enumerate(labels)]
        placed = tuple(label for label in drawn if label is not None)
        self.diagnostics.append(Diagnostic(code, message, placed, notes, help_text))

    def test_name(self, name: str) -> None:
        path = ("data", "test", name)
        if NAME_PATTERN.fullmatch(name) is None:
            words = "a test is named in letters, digits, `.`, `_` and `-`"
            self._report("SF103", f"`{printable(name)}` cannot name a test", (path, ""), help_text=words)
        elif name in RESERVED_TESTS:
            note = "the run's folder holds something else under this name"
            self._report("SF103", f"`{name}` cannot name a test", (path, ""), notes=(note,))

    def corpus(self, corpus: Corpus, path: ValuePath, *, training: bool, test: bool = False) -> Iterator[CorpusFiles]:
        """Check one corpus; yield its files when they are all there."""
        self._idle_keys(corpus, path, training=training, test=test)
        if corpus.hold_out is not None and training:
            self._hold_out(corpus, (*path, "hold_out"))
        if self._columns is None or not all(self._intact((*path, name)) for name in _ABOUT_FILES):
            return
        references = [] if not test or corpus.references in (None, [self._scored]) else list(corpus.references or [])
        if len(set(references)) < len(references):
            self._report("SF301", "`references` names a column twice", ((*path, "references"), ""))
            return
        read_as = next((name for name in references if name in self._columns and name != self._scored), None)
        if read_as is not None:
            message = f"`{printable(read_as)}` is no reference: it is what outputs are made of"
            self._report("SF301", message, ((*path, "references"), ""), (("task",), "the task"))
            return
        read = [name for name in self._columns if not references or name != self._scored]
        read += [name for name in references if name not in read]
        given = corpus.columns if corpus.format == "tsv" and not corpus.header else None
        columns = list(read) if given is None else given
        lacking = [name for name in read if name not in columns]
        if lacking or len(set(columns)) < len(columns):
            reader = "`references` does" if lacking and lacking[0] in references else "the task reads"
            what = f"does not name `{printable(lacking[0])}`, which {reader}" if lacking else "names one twice"
            self._report("SF301", f"`columns` {what}", ((*path, "columns"), ""), (("task",), "the task"))
            return
        files = self._files(corpus, path, read)
        if files is None:
            return
        label = self._merged.label((*path, "path"))
        yield CorpusFiles(
            corpus.format,
            files,
            corpus.header,
            tuple(columns),
            corpus.weight,
            None if corpus.hold_out is None else corpus.hold_out.model_dump(mode="json"),
            None if label is None else label.place,
            tuple(references),
        )

    def _idle_keys(self, corpus: Corpus, path: ValuePath, *, training: bool, test: bool) -> None:
        """Refuse keys that would do nothing where they stand."""
        idle = [] if training else [(name, f"`{name}` is for training data") for name in ("weight", "hold_out")]
        if not test:
            idle.append(("references", "only tests are scored against them"))
        elif self._columns is not None and self._scored is None:
            idle.append(("references", "this task has no text to score"))
        if corpus.format != "tsv":
            idle += [(name, f"`{name}` is for tsv") for name in ("header", "columns")]
        elif corpus.header:
            idle.append(("columns", "the header names the columns"))
        for name, reason in idle:
            if self._merged.holds((*path, name)) and getattr(corpus, name) != type(corpus).model_fields[name].default:
                self._report("SF301", f"`{name}` does nothing in {table_name(path)}", ((*path, name), reason))

    def _hold_out(self, corpus: Corpus, path: ValuePath) -> None:
        hold_out = corpus.hold_out
        assert hold_out is not None
        if hold_out.valid is None and hold_out.test is None:
            self._report("SF102", "a hold_out of nothing", (path, "`valid` or `test` is required"))
        elif (hold_out.valid or 0.0) + (hold_out.test or 0.0) >= 1.0:
            labels = (((*path, "valid"), "this share"), ((*path, "test"), "and this one leave nothing to train on"))
            self._report("SF301", "everything is held out", *labels)
        if hold_out.distinct is not None and self._columns is not None and hold_out.distinct not in self._columns:
            near = nearest(hold_out.distinct, self._columns)
            words = f"did you mean `{near}`?" if near else f"the columns are {', '.join(self._columns)}"
            message = f"no column is called `{printable(hold_out.distinct)}`"
            self._report("SF103", message, ((*path, "distinct"), words))

    def sources(self, data: DataSection) -> bool:
        """Check that validation data and each test come from one place; return whether a test is held out."""
        held = [
            (("data", "train", index, "hold_out"), corpus.hold_out)
            for index, corpus in enumerate(data.train)
            if corpus.hold_out is not None
        ]
        for_valid = [path for path, hold_out in held if hold_out.valid is not None]
        for_test = [path for path, hold_out in held if hold_out.test is not None]
        if data.valid is not None and for_valid:
            here, there = (("data", "valid"), "here"), ((*for_valid[0], "valid"), "and here")
            self._report("SF301", "validation data comes from two places", here, there, help_text="keep one of them")
        shares = [(("data", "train", index, "hold_out")) for index in range(len(data.train))]
        if data.valid is None and not for_valid and all(self._intact(path) for path in (("data", "valid"), *shares)):
            label = self._merged.missing_label(("data",), "`valid` is required")
            help_text = 'write `valid = "valid"`, or a share to hold out: `train = { path = "train", hold_out = 0.01 }`'
            self.diagnostics.append(Diagnostic("SF102", "no validation data", (label,), help=help_text))
        if for_test and SINGLE_TEST in data.test:
            held_out = ((*for_test[0], "test"), "and here")
            message = f"the test `{SINGLE_TEST}` comes from two places"
            named = (("data", "test", SINGLE_TEST), "here")
            self._report("SF301", message, named, held_out, help_text="give the other one a name of its own")
        return bool(for_test)

    def _files(self, corpus: Corpus, path: ValuePath, columns: Sequence[str]) -> dict[str, Path] | None:
        """Return the corpus' files by column (`""` for a table), or None after saying what is missing."""
        assert self._columns is not None
        stem = data_path(self._merged, (*path, "path"), corpus.path)
        # The only column of a task needs no name: its file is the one that the spec names.
        by_stem = corpus.format == "text" and len(self._columns) > 1
        wanted = {name: Path(f"{stem}.{name}") for name in columns} if by_stem else {"": stem}
        try:
            found = {name: find_text_file(file) for name, file in wanted.items()}
        except (OSError, ValueError) as error:  # a name that is too long, or holds NUL
            self._report("SF501", "no such file", ((*path, "path"), ""), notes=(str(error),))
            return None
        missing = [wanted[name] for name, file in found.items() if file is None]
        if missing:
            self._missing(corpus, path, stem, missing)
            return None
        return {name: file for name, file in found.items() if file is not None}

    def _missing(self, corpus: Corpus, path: ValuePath, stem: Path, missing: Sequence[Path]) -> None:
        names = " and ".join(f"`{printable(file.name)}`" for file in missing)
        by_stem = missing[0] != stem
        words, help_text = _advice(corpus, stem, missing, by_stem=by_stem)
        folder = min(str(stem.parent), os.path.relpath(stem.parent), key=len)
        note = f"looked in {printable(folder, longest=500)}, for compressed forms too ({', '.join(COMPRESSIONS[1:])})"
        root = self._merged.label(("data", "root"))
        notes = (note,) if root is None else (note, f"`data.root` is set at {root.place}")
        help_text = help_text or (_ELSEWHERE if root is None and words == _NOT_FOUND else None)
        self._report("SF501", f"no such file: {names}", ((*path, "path"), words), notes=notes, help_text=help_text)


def _advice(corpus: Corpus, stem: Path, missing: Sequence[Path], *, by_stem: bool) -> tuple[str, str | None]:
    """Return the words at the path, and what to type instead where that can be told."""
    if corpus.path.startswith("~"):
        return "`~` is not expanded", "write the whole path"
    if not stem.parent.is_dir():
        return _advice_on_folder(corpus, stem)
    if by_stem and stem.is_file():
        if stem.suffix in {".tsv", ".jsonl"}:
            return "this is one file", f'write `{{ path = "{printable(corpus.path)}", format = "{stem.suffix[1:]}" }}`'
        return (
            "this is one file, and a stem is expected",
            f'for parallel text write the path up to the language: "{printable(corpus.path.rpartition(".")[0])}"',
        )
    wanted = missing[0]
    names = _names(stem.parent)
    others = sorted(name for name in names if corpus.format == "text" and name.rpartition(".")[0] == stem.name)
    if others and not by_stem:
        return f"there is `{printable(others[0])}`", "the task reads one file: write its whole name"
    if others:
        there = " and ".join(f"`{printable(name)}`" for name in others[:2])
        return f"there {'is' if len(others) == 1 else 'are'} {there}", "the endings are what [task] calls its columns"
    near = nearest(wanted.name, [name for name in names if name.endswith(wanted.suffix)])
    if near is None:
        return _NOT_FOUND, None
    typed = near.removesuffix(wanted.name[len(stem.name) :])
    return f"did you mean `{printable(os.path.join(os.path.dirname(corpus.path), typed))}`?", None  # noqa: PTH118, PTH120


def _advice_on_folder(corpus: Corpus, stem: Path) -> tuple[str, str | None]:
    """Return the words and the help for a path whose folder is not there; a slip in one of its parts is found."""
    parts = Path(corpus.path).parts
    for length in range(1, len(parts)):
        parent = stem.parents[length]
        if parent.is_dir():
            wrong = parts[-1 - length]
            near = nearest(wrong, [name for name in _names(parent) if (parent / name).is_dir()])
            if near is None:
                break
            typed = Path(*parts[: -1 - length], near, *parts[len(parts) - length :])
            return f"did you mean `{printable(str(typed))}`?", None
    return "its folder does not exist", _ELSEWHERE


def _names(folder: Path) -> list[str]:
    """Return the names of a folder without what compression added."""
    try:
        names = [entry.name for entry, _ in zip(os.scandir(folder), range(_MOST_NAMES), strict=False)]
    except OSError:
        return []
    suffixes = tuple(COMPRESSIONS[1:])
    return [name[: name.rindex(".")] if name.endswith(suffixes) else name for name in names]
