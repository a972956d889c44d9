"""`test SPEC tokenizer`: what a tokenizer makes of the text, and whether it gives the text back. Free of torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from specforge.data.vocabulary import UNK, Vocabulary
from specforge.execution.job import Job
from specforge.execution.questions.text_findings import (
    Cut,
    DataSource,
    RoundTrip,
    SideFigures,
    Split,
    TokenizerFindings,
    TokenizerOrigin,
)
from specforge.foundation.errors import WrongInputError
from specforge.language.schema.data import PreprocessSection
from specforge.language.spec import Registered
from specforge.plugin import TokenizerConfig
from specforge.steps.parts import configured, make_tokenizer, task_config
from specforge.steps.preprocess import build_vocabularies
from specforge.steps.tokenizer import tokenizer_files
from specforge.steps.trial.blame import blame, breach
from specforge.steps.trial.sample import NumberedRow, lines_of, sampled_rows
from specforge.tokenizers.tokenizer import Tokenizer

_ROWS: Final = 20_000
"""Training rows, and validation rows, that are cut at most: a second or two."""

_CUTS: Final = 2
"""Lines that are shown of each side of each split."""

_ODD_UNKNOWN: Final = 0.01
_ODD_CHANGED: Final = 0.01


def try_tokenizer(job: Job, warnings: list[str]) -> tuple[TokenizerFindings, DataSource]:
    """Try the tokenizer.

    Args:
        job: `needs` names the result of the tokenizer step, where there is such a step, and that of preprocess.
        warnings: takes what is odd.

    Raises:
        WrongInputError: a file is wrong, or there is no training text (SF504).
        StepFailedError: SF142, the tokenizer raised; SF143, it returned something else.
    """
    registered, config = configured("tokenizer", job.settings["tokenizer"])
    tokenizer = make_tokenizer(job.settings["tokenizer"])
    learned = isinstance(config, TokenizerConfig) and config.trained
    if learned:
        tokenizer.load(tokenizer_files(Path(job.needs["tokenizer"])))
    sample = sampled_rows(job, _ROWS)
    train = [row for rows in sample.train for row in rows]
    if not train:
        raise WrongInputError(
            "SF504", "there is no training text", help="the corpora are empty, or all of it is held out"
        )
    columns = task_config(job.settings["task"]).columns()
    roles = [column.role for column in columns if not column.labels]
    sides = [
        _Side(tokenizer, registered, split, role, [(line, row[place]) for line, row in rows])
        for split, rows in _splits(train, sample.valid)
        for place, role in enumerate(column.role for column in columns)
        if role in roles
    ]
    vocabularies = _vocabularies(job, roles, sides)
    origin: TokenizerOrigin = "result" if learned else "untrained"
    source = DataSource(prepared=False, rows=len(train), lines=lines_of(job), whole=sample.whole, tokenizer=origin)
    found = TokenizerFindings(
        types={role: len(vocabulary) for role, vocabulary in vocabularies.items()},
        vocabulary="preprocess" if "preprocess" in job.needs else "sample",
        sides=[side.figures(vocabularies[side.role]) for side in sides],
        cuts=[cut for side in sides for cut in side.cuts()],
        changed=[side.changed[0] for side in sides if side.changed],
    )
    warnings += _oddities(found)
    return found, source


def _oddities(found: TokenizerFindings) -> Iterator[str]:
    for side in found.sides:
        what = f"{side.split} {side.role}"
        if side.unknown > _ODD_UNKNOWN * max(side.tokens, 1):
            yield f"{what}: {side.unknown / side.tokens:.1%} of the pieces are not in the vocabulary"
        if side.changed > _ODD_CHANGED * side.lines:
            yield f"{what}: {side.changed / side.lines:.1%} of the lines do not come back as they were"


def _splits(
    train: Sequence[NumberedRow], valid: Sequence[NumberedRow]
) -> Iterator[tuple[Split, Sequence[NumberedRow]]]:
    yield "train", train
    if valid:
        yield "valid", valid[:_ROWS]


class _Side:
    """One column of one split, cut and joined again.

    Args:
        tokenizer: trained.
        registered: who made it.
        split, role: which side it is.
        numbered: its texts, each with its line in its corpus.
    """

    def __init__(
        self, tokenizer: Tokenizer, registered: Registered, split: Split, role: str, numbered: Sequence[tuple[int, str]]
    ) -> None:
        self.split: Split = split
        self.role = role
        self._numbers = [line for line, _ in numbered]
        self._lines = lines = [text for _, text in numbered]
        with blame(registered, "in `encode`"):
            self._cut = tokenizer.encode(role, lines)
        if len(self._cut) != len(lines):
            wanted = "a list of pieces for each line is expected"
            raise breach(registered, f"makes {len(self._cut):,} lists of {len(lines):,} lines in `encode`", wanted)
        with blame(registered, "in `decode`"):
            self.changed = list(self._round_trips(tokenizer))

    def _round_trips(self, tokenizer: Tokenizer) -> Iterator[RoundTrip]:
        for number, text, pieces in zip(self._numbers, self._lines, self._cut, strict=True):
            back = tokenizer.decode(self.role, pieces)
            if back.strip(" ") != tokenizer.surface(self.role, text).strip(" "):  # spaces around a line say nothing
                yield RoundTrip(split=self.split, role=self.role, line=number, text=text, back=back)

    def counts(self) -> dict[str, int]:
        """Return how often each piece occurs."""
        return Counter(piece for pieces in self._cut for piece in pieces)

    def figures(self, vocabulary: Vocabulary) -> SideFigures:
        """Return what is known of this side."""
        lengths = [len(pieces) for pieces in self._cut]
        longest = max(lengths)
        return SideFigures(
            split=self.split,
            role=self.role,
            lines=len(self._lines),
            words=sum(len(line.split()) for line in self._lines),
            tokens=sum(lengths),
            characters=sum(map(len, self._lines)),
            unknown=sum(count for piece, count in self.counts().items() if vocabulary.index(piece) == UNK),
            changed=len(self.changed),
            longest=longest,
            longest_line=self._numbers[lengths.index(longest)],
        )

    def cuts(self) -> Iterator[Cut]:
        """Yield the first lines that are not blank, in pieces."""
        shown = [place for place, line in enumerate(self._lines) if line.strip()][:_CUTS]
        for place in shown:
            yield Cut(split=self.split, role=self.role, text=self._lines[place], pieces=self._cut[place])


def _vocabularies(job: Job, roles: Sequence[str], sides: Sequence[_Side]) -> Mapping[str, Vocabulary]:
    """Return the vocabularies of preprocess, else those that it would make of what was read."""
    if "preprocess" in job.needs:
        folder = Path(job.needs["preprocess"])
        return {role: Vocabulary.from_bytes((folder / f"vocabulary.{role}.txt").read_bytes()) for role in roles}
    section = PreprocessSection.model_validate(job.settings["preprocess"])
    counts = {side.role: side.counts() for side in sides if side.split == "train"}
    return build_vocabularies(counts, section, joined=bool(section.joined_dictionary))
