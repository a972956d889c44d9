"""Lines of files, and how probable a trained model finds them: what `logprob` does before anything is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, zip_longest
from math import log
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue

from specforge.data.memory_lines import MemoryLines
from specforge.data.vocabulary import SPECIAL_SYMBOLS
from specforge.execution.job import Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.events import Reporter
from specforge.foundation.quantities import counted
from specforge.foundation.text_files import decode_line, raw_lines, read_lines
from specforge.generation.streaming import line_groups
from specforge.generation.target_scores import TargetScorer
from specforge.language.model_folders import checkpoint_alone
from specforge.language.schema.generate import GenerateSection
from specforge.plugin import TaskConfig
from specforge.steps.devices import chosen_device
from specforge.steps.model_folder import load_model, open_model_folder, other_packages
from specforge.steps.parts import make_task, task_config

STANDARD_INPUT: Final = "-"
_GROUP: Final = 8_192
"""Lines that are in memory at once, unless the text is one stream: enough to put like lengths together."""
_STDIN: Final = 0
_CHUNK: Final = 1 << 16
_LARGEST_EXPONENT: Final = 1_000.0


class Request(BaseModel):
    """What is asked for: the setting `logprob`.

    Args:
        target: file as typed, or `-` for standard input; for a language model its text.
        source: file as typed, or `-`; None for a language model.
        jsonl: whether lines are objects with the score of every piece.
        silent: whether only the sums are wanted.
        context_window: the task's, in place of the one that the model was trained with.
        line_by_line: whether a language model predicts each line from its own beginning.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    target: str
    source: str | None = None
    jsonl: bool = False
    silent: bool = False
    context_window: int | None = None
    line_by_line: bool = False

    def files(self) -> dict[str, str]:
        """Return the files by what they are called on the command line."""
        return {"target": self.target} if self.source is None else {"source": self.source, "target": self.target}


class ScoredLine:
    """A line of the target.

    Args:
        pieces: its tokens, the end of sentence last.
        scores: log-probability of each, in nats.
        words: its words between white space.
        unknown: tokens that are not in the vocabulary.
    """

    def __init__(self, pieces: Sequence[str], scores: NDArray[np.float64], words: int, unknown: int) -> None:
        self.pieces = pieces
        self.scores = scores
        self.words = words
        self.unknown = unknown
        self.total = float(scores.sum())

    @property
    def per_token(self) -> float:
        """Mean over tokens."""
        return self.total / len(self.scores)

    @property
    def per_word(self) -> float:
        """Mean over words, the end of the line counted as one."""
        return self.total / (self.words + 1)


class Total:
    """The sums over all lines."""

    def __init__(self) -> None:
        self.lines = self.tokens = self.words = self.unknown = 0
        self.total = 0.0

    def add(self, lines: Sequence[ScoredLine]) -> None:
        """Add lines."""
        self.lines += len(lines)
        self.tokens += sum(len(line.scores) for line in lines)
        self.words += sum(line.words for line in lines)
        self.unknown += sum(line.unknown for line in lines)
        self.total += sum(line.total for line in lines)

    def summary(self) -> dict[str, JsonValue]:
        """Return the figures of the record."""
        per_token, per_word = self.total / self.tokens, self.total / (self.words + self.lines)
        return {
            "lines": self.lines,
            "tokens": self.tokens,
            "words": self.words,
            "unknown": self.unknown,
            "logprob": self.total,
            "per_token": per_token,
            "per_word": per_word,
            "ppl": _perplexity(per_token),
            "word_ppl": _perplexity(per_word),
        }


def _perplexity(nats: float) -> float:
    return float(2.0 ** min(-nats / log(2), _LARGEST_EXPONENT))  # JSON has no infinity


class LineScores:
    """The lines of a request with their scores, a group at a time.

    Args:
        job: names the model.
        request: names the files.
        reporter: told what is odd.

    Raises:
        WrongInputError: SF731, the request does not fit the model; SF503, not as many sources as targets; SF506, a line is
            longer than the model's positions; SF701, the spec names several models; others as `specforge.foundation.text_files.read_lines`.
        RefusedError, CorruptStateError, EnvironmentFaultError: as `open_model_folder` and `load_model`.
    """

    def __init__(self, job: Job, request: Request, reporter: Reporter) -> None:
        _check_files(request.files())
        device = chosen_device(job.settings)
        section = GenerateSection.model_validate(job.settings.get("generate", {}))
        if "model" in job.needs:
            self._trained = open_model_folder(Path(job.needs["model"]), device)
            for line in other_packages(self._trained.settings):
                reporter.message(f"{line}: scores may differ")
            table = self._trained.settings["task"]
        else:
            self._trained = load_model(Path(job.needs["train"]) / checkpoint_alone(section), device)
            table = job.settings["task"]
        assert isinstance(table, dict)
        self._files = _files(task_config(table), request)
        changed = _changed(table, request)
        # Blocks run across lines, so what stands in other lines counts, too.
        self._group = _GROUP if changed.get("block_length") is None else None
        self._task = make_task(changed)
        self._scorer = TargetScorer(self._task, self._trained.model, section.batch_tokens, device)

    def __iter__(self) -> Iterator[list[ScoredLine]]:
        rows = zip_longest(*(_lines(name) for name in self._files.values()))
        number = 0
        while group := list(islice(rows, self._group)):
            texts: dict[str, list[str]] = {role: [] for role in self._files}
            for row in group:
                for role, text in zip(self._files, row, strict=True):
                    if text is not None:
                        texts[role].append(text)
            counts = {role: number + len(lines) for role, lines in texts.items()}
            if len(set(counts.values())) > 1:  # files are counted before; standard input cannot be
                rest = sum(1 for _ in rows)
                raise _different(
                    self._files,
                    {role: count + rest * (count == max(counts.values())) for role, count in counts.items()},
                )
            yield self._scored(texts, number)
            number += len(group)

    def _scored(self, texts: Mapping[str, list[str]], number: int) -> list[ScoredLine]:
        """Return lines with their scores.

        Args:
            texts: role → lines.
            number: how many lines stand before them.
        """
        lines = MemoryLines(*self._files)
        indices = {role: self._trained.encoded(role, texts[role]) for role in self._files}
        lines.append(indices)
        items = self._task.arranged_test(lines)
        if items is lines:  # blocks are as long as in training
            self._check_lengths(indices, number)
        stream = np.concatenate(self._scorer.token_scores(items))
        *_, role = self._files
        targets, vocabulary = indices[role], self._trained.vocabularies[role]
        ends = np.cumsum([len(target) for target in targets])
        words = self._trained.words(role, texts[role])
        eos, unk = SPECIAL_SYMBOLS[vocabulary.symbols.eos], vocabulary.symbols.unk
        return [
            ScoredLine((*vocabulary.pieces(target), eos), scores, count, target.count(unk))
            for target, scores, count in zip(targets, np.split(stream, ends[:-1]), words, strict=True)
        ]

    def _check_lengths(self, indices: Mapping[str, list[list[int]]], number: int) -> None:
        for role, lines in indices.items():
            longest = self._trained.model.max_positions().get(role)
            too_long = [place for place, line in enumerate(lines) if longest is not None and len(line) > longest]
            if too_long:
                raise WrongInputError(
                    "SF506",
                    f"a line of {len(lines[too_long[0]]):,} tokens, the end counted, is more than the model's "
                    f"{longest:,} positions",
                    place=Place(_shown(self._files[role]), number + too_long[0] + 1),
                    help="split the line: nothing is cut off silently",
                )


def _files(config: TaskConfig, request: Request) -> dict[str, str]:
    """Return the file of each column that the model knows, what is predicted last.

    Raises:
        WrongInputError: SF731, they are not those of the request.
    """
    if any(column.labels for column in config.columns()):
        raise WrongInputError("SF731", "`logprob` is for models of text, and this one predicts labels")
    roles = [column.role for column in config.columns()]
    if request.source is None and len(roles) > 1:
        raise WrongInputError(
            "SF731",
            "this model turns a text into another one, and only the other one is given",
            help="add `--source FILE`",
        )
    if request.source is not None and len(roles) == 1:
        raise WrongInputError("SF731", "this is a language model, which has no source", help="leave `--source` out")
    return dict(zip(roles, request.files().values(), strict=True))


def _changed(table: Mapping[str, JsonValue], request: Request) -> dict[str, JsonValue]:
    """Return the table of the task with what the request says of blocks.

    Raises:
        WrongInputError: SF731, the task has none, or the window leaves no room in them.
    """
    changed, window = dict(table), request.context_window
    if not request.line_by_line and window is None:
        return changed
    if "context_window" not in changed:
        raise WrongInputError(
            "SF731", "`--context-window` and `--line-by-line` are for language models, and this is none"
        )
    if window is None:
        return changed | {"block_length": None, "context_window": 0}
    block = changed["block_length"]
    if request.line_by_line or not isinstance(block, int):
        raise WrongInputError("SF731", "a line that is predicted from its own beginning has no context window")
    if window >= block:
        raise WrongInputError("SF731", f"a context window of {window:,} tokens leaves no room in blocks of {block:,}")
    return changed | {"context_window": window}


def _check_files(files: Mapping[str, str]) -> None:
    """Find what is wrong with the files before a model is loaded."""
    paths = {role: Path(name) for role, name in files.items() if name != STANDARD_INPUT}
    counts = {role: sum(1 for _ in raw_lines(path)) for role, path in paths.items()}
    if len(set(counts.values())) > 1:
        raise _different(files, counts)
    for role, count in counts.items():
        if not count:
            raise WrongInputError("SF504", "there are no lines to score", place=Place(files[role]))


def _different(files: Mapping[str, str], counts: Mapping[str, int]) -> WrongInputError:
    named = " and ".join(f"{counted(counts[role], 'line')} in `{_shown(name)}`" for role, name in files.items())
    shortest = min(counts, key=lambda role: counts[role])
    return WrongInputError(
        "SF503",
        f"not as many sources as targets: {named}",
        place=Place(_shown(files[shortest]), counts[shortest] + 1),
        help="line n of the one belongs to line n of the other",
    )


def _shown(name: str) -> str:
    return "<stdin>" if name == STANDARD_INPUT else name


def _lines(name: str) -> Iterator[str]:
    if name != STANDARD_INPUT:
        yield from read_lines(Path(name))
        return
    number = 1
    for group in line_groups(partial(os.read, _STDIN, _CHUNK), _GROUP):
        yield from (decode_line(raw, Path("<stdin>"), line) for line, raw in enumerate(group, number))
        number += len(group)
