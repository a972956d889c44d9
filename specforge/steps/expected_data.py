"""The data that training will have: those of the preprocess result, else what a sample of the corpora leads to expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from specforge.data.batching import Measure, WeightedSegment
from specforge.data.cutting import Limits
from specforge.data.readers import Row, RowRemarks
from specforge.data.samples import expected_types, guessed_pieces, sampled
from specforge.data.vocabulary import SPECIAL_SYMBOLS
from specforge.execution.job import CorpusJob, Job
from specforge.foundation.errors import WrongInputError
from specforge.language.schema.data import PreprocessSection
from specforge.plugin import ModelContext, Symbols, TokenizerConfig
from specforge.steps.corpora import sided_rows
from specforge.steps.parts import configured, make_tokenizer, task_config
from specforge.steps.prepared import measure_of, open_prepared
from specforge.steps.preprocess import side_of
from specforge.steps.tokenizer import tokenizer_files
from specforge.tasks.task import Item, Task

_FROM_WORDS: Final = "lengths are guessed from the words of a sample, since the tokenizer is not trained yet"
_FROM_SAMPLE: Final = "lengths are those of a sample of the text, since preprocess has not run yet"


@dataclass(frozen=True, slots=True)
class ExpectedData:
    """What batching and the model must know of the training data.

    Args:
        context: what the model is built for.
        segments: the training corpora with their weights.
        measure: measures their items.
        exact: whether all of it is as training will find it.
        notes: what it rests on where it is not.
    """

    context: ModelContext
    segments: Sequence[WeightedSegment]
    measure: Measure
    exact: bool
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> float:
        """Items of an epoch, in the mean where a weight is a fraction."""
        return sum((segment.stop - segment.start) * segment.weight for segment in self.segments)


def expected_data(job: Job, task: Task) -> ExpectedData:
    """Return the data of a training.

    Args:
        job: its needs name the results of tokenizer and preprocess that are there, its corpora the training text.
        task: measures items.

    Raises:
        WrongInputError: the text cannot be read, or nothing is left of it (SF504).
    """
    if "preprocess" in job.needs:
        prepared = open_prepared(Path(job.needs["preprocess"]), task, job.settings["data"])
        return ExpectedData(prepared.context, prepared.segments, measure_of(prepared.train, task), exact=True)
    samples = [_sample(job, corpus) for corpus in job.corpora]
    cut = _Cut(job, [row for sample in samples for row in sample.rows])
    kept = cut.kept()
    stops = list(accumulate(len(sample.rows) for sample in samples))
    starts = [0, *stops[:-1]]
    own = [start + np.flatnonzero(kept[start:stop]) for start, stop in zip(starts, stops, strict=True)]
    if not any(len(numbers) for numbers in own):
        raise WrongInputError("SF504", "nothing is left of a sample of the training text", help="look at [preprocess]")
    share = sum(sample.seen for sample in samples) / max(sum(sample.lines for sample in samples), 1)
    segments, measure = _stretched(samples, own, cut, task)
    return ExpectedData(cut.context(min(share, 1.0)), segments, measure, exact=False, notes=(cut.note,))


@dataclass(frozen=True, slots=True)
class _Sample:
    """The sample of a corpus.

    Args:
        rows: the rows of it that are trained on.
        weight: the corpus's weight.
        seen: rows of the sample, those that are held out included.
        lines: rows of the corpus.
    """

    rows: Sequence[Row]
    weight: float
    seen: int
    lines: int


def _sample(job: Job, corpus: CorpusJob) -> _Sample:
    size = sum(Path(path).stat().st_size for path in corpus.files.values())
    sides = list(sampled(sided_rows(job, corpus, RowRemarks()), corpus.lines, size))
    rows = [row for side, row in sides if side == "train"]
    return _Sample(rows, corpus.weight, len(sides), max(corpus.lines or 0, len(sides)))


class _Cut:
    """A sample cut into pieces, by the tokenizer itself where it can already.

    Args:
        job: as of `expected_data`.
        rows: the sample.
    """

    def __init__(self, job: Job, rows: Sequence[Row]) -> None:
        self._section = PreprocessSection.model_validate(job.settings["preprocess"])
        _, config = configured("tokenizer", job.settings["tokenizer"])
        assert isinstance(config, TokenizerConfig)
        self._config = config
        self._learned = config.learned_pieces() if config.trained else None
        joined = self._section.joined_dictionary
        self._joined = config.joined() if joined is None else joined
        self._task = task_config(job.settings["task"])
        columns = self._task.columns()
        every = {column.role: [row[place] for row in rows] for place, column in enumerate(columns)}
        self._labels = {column.role: every[column.role] for column in columns if column.labels}
        roles = [column.role for column in columns if not column.labels]
        texts = {role: every[role] for role in roles}
        if self._learned is None or "tokenizer" in job.needs:
            self.note = _FROM_SAMPLE
            self._pieces = _pieces(job, texts)
            self.lengths = {role: _lengths([len(text) for text in self._pieces[role]]) for role in roles}
        else:
            self.note = _FROM_WORDS
            by_character = self._learned.unit == "character"
            self._pieces = {
                role: [list(text) if by_character else text.split() for text in texts[role]] for role in roles
            }
            together = [roles] if config.joined() else [[role] for role in roles]
            guessed = (guessed_pieces([texts[role] for role in some], self._learned) for some in together)
            self.lengths = {role: _lengths(column) for role, column in zip(roles, chain(*guessed), strict=True)}
        self.lengths |= {role: np.ones(len(rows), np.int64) for role in self._labels}

    def kept(self) -> NDArray[np.bool_]:
        """Return which rows preprocess keeps: [rows]."""
        limits = Limits(self._section.max_length, self._section.max_ratio, self._task.keeps_blank_lines)
        pieces = zip(*((self.lengths[role] - 1).tolist() for role in self._pieces), strict=True)
        kept = np.array([limits.reason(item) is None for item in pieces], np.bool_)
        for labels in self._labels.values():
            kept &= np.array([bool(label) for label in labels], np.bool_)
        return kept

    def context(self, share: float) -> ModelContext:
        """Return what the model is built for, when the sample is this share of the text."""
        roles = list(self._pieces)
        labels = {role: len(set(column)) for role, column in self._labels.items()}
        if self._joined:
            rows = [list(chain(*row)) for row in zip(*self._pieces.values(), strict=True)]
            one = Symbols(self._size(roles[0], rows, share))
            return ModelContext(dict.fromkeys(roles, one), joined=True, labels=labels)
        symbols = {role: Symbols(self._size(role, self._pieces[role], share)) for role in roles}
        return ModelContext(symbols, labels=labels)

    def _size(self, role: str, rows: Sequence[Sequence[str]], share: float) -> int:
        """Return the number of types of a vocabulary; the rules are those of `Vocabulary.from_counts`."""
        limits, side = self._section.model_dump(), side_of(role)
        learned = None if self._learned is None else self._learned.most
        if learned is None:
            types = expected_types(rows, share, limits[f"threshold_{side}"] or 0)
        else:
            models = len(self._pieces) if self._joined and not self._config.joined() else 1
            types = models * learned
        size = min(types + len(SPECIAL_SYMBOLS), limits[f"nwords_{side}"] or types + len(SPECIAL_SYMBOLS))
        return size + -size % self._section.padding_factor


def _pieces(job: Job, texts: Mapping[str, Sequence[str]]) -> dict[str, list[list[str]]]:
    tokenizer = make_tokenizer(job.settings["tokenizer"])
    if "tokenizer" in job.needs:
        tokenizer.load(tokenizer_files(Path(job.needs["tokenizer"])))
    return {role: tokenizer.encode(role, column) for role, column in texts.items()}


def _lengths(pieces: Sequence[int]) -> NDArray[np.int64]:
    """Return the lengths [rows] with the end of sentence counted."""
    return np.array(pieces, np.int64) + 1


class _StretchedLines:
    """Corpora of full size in which the items of the sample come again and again; they have lengths, and no tokens.

    Args:
        lengths: column role → [rows of the sample] lengths.
        own: for each corpus the rows that are kept, by their numbers in the sample of all; at least one of each.
        sizes: for each corpus how many lines it has.
    """

    def __init__(
        self, lengths: Mapping[str, NDArray[np.int64]], own: Sequence[NDArray[np.int64]], sizes: Sequence[int]
    ) -> None:
        self._lengths = lengths
        self._own = own
        self._begins = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return int(self._begins[-1])

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Which lines belong to each corpus."""
        return list(pairwise(self._begins.tolist()))

    def lengths(self, items: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Return the lengths of some lines: role → [items]."""
        part = np.searchsorted(self._begins, items, side="right") - 1
        chosen = np.empty_like(items)
        for number, rows in enumerate(self._own):
            mine = part == number
            chosen[mine] = rows[(items[mine] - self._begins[number]) % len(rows)]
        return {role: column[chosen] for role, column in self._lengths.items()}

    def offset(self, role: str, item: int) -> int:
        """Return how many tokens stand before a line."""
        total = 0
        for rows, (start, stop) in zip(self._own, self.spans, strict=True):
            passes, rest = divmod(min(max(item - start, 0), stop - start), len(rows))
            column = self._lengths[role][rows]
            total += passes * int(column.sum()) + int(column[:rest].sum())
        return total

    def item(self, index: int) -> Item:
        """Refuse: nobody reads what is only estimated."""
        raise NotImplementedError(index)

    def tokens(self, role: str, start: int, stop: int) -> NDArray[np.integer]:
        """Refuse, as `item`."""
        raise NotImplementedError(role, start, stop)


def _stretched(
    samples: Sequence[_Sample], own: Sequence[NDArray[np.int64]], cut: _Cut, task: Task
) -> tuple[list[WeightedSegment], Measure]:
    """Return corpora of full size, as the task arranges them, and what measures their items.

    Args:
        samples: the sample of each corpus.
        own: for each corpus the rows that are kept, by their numbers in the sample of all.
        cut: the lengths of the rows.
        task: arranges and measures items.
    """
    there = [(sample, rows) for sample, rows in zip(samples, own, strict=True) if len(rows)]
    sizes = [max(round(sample.lines * len(rows) / sample.seen), 1) for sample, rows in there]
    lines = _StretchedLines(cut.lengths, [rows for _, rows in there], sizes)
    arranged = task.arranged(lines, lines.spans)
    segments = [
        WeightedSegment(start, stop, sample.weight)
        for (sample, _), (start, stop) in zip(there, arranged.spans, strict=True)
    ]
    return segments, measure_of(arranged.items, task)
