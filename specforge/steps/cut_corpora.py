"""The text of a preprocess job cut into pieces: read here, cut by several processes, gathered here in the order of reading."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

from specforge.data.corpus import Segment
from specforge.data.corpus_writer import SplitWriter
from specforge.data.cutting import CutChunk, Limits, PieceNumbers, cut_rows
from specforge.data.ordered_map import ordered_map
from specforge.data.readers import Row, RowRemarks
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.events import Reporter
from specforge.language.schema.run import RunSection
from specforge.plugin import Column
from specforge.steps.corpora import sided_rows
from specforge.tokenizers.tokenizer import Tokenizer

SPLITS: Final = ("train", "valid")

# A chunk is what one process cuts at once: enough to be worth the way, few enough to be held several times.
_CHUNK_ROWS: Final = 2_000
_CHUNK_CHARACTERS: Final = 1 << 21


@dataclass(slots=True)
class CutCorpora:
    """What was found while cutting.

    Args:
        numbers: role → the provisional numbers of its pieces, with counts.
        kept: items kept of each training corpus, in the spec's order.
        read: split → rows read.
        left_out: reason → training rows left out.
        remarks: what was in the files and not in the rows.
    """

    numbers: Mapping[str, PieceNumbers]
    kept: list[int]
    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    left_out: dict[str, int] = field(default_factory=dict)
    remarks: RowRemarks = field(default_factory=RowRemarks)

    def segments(self) -> list[Segment]:
        """Return which training items come from which training corpus."""
        bounds = [sum(self.kept[:number]) for number in range(len(self.kept) + 1)]
        return [Segment(start=start, stop=stop) for start, stop in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class _Label:
    """What a chunk is, kept here while its text is away.

    Args:
        split: train or valid.
        corpus: number among the training corpora; None for others.
        rows: rows in it.
    """

    split: str
    corpus: int | None
    rows: int


def cut_corpora(
    job: Job,
    columns: Sequence[Column],
    tokenizer: Tokenizer,
    limits: Limits,
    writers: Mapping[str, SplitWriter],
    reporter: Reporter,
) -> CutCorpora:
    """Cut the training and validation text of a job into the files of both splits.

    Args:
        job: its corpora are read once; `valid.<role>.txt` is written beside the splits.
        columns: the task's columns.
        tokenizer: trained.
        limits: which training items to leave out; validation items never are.
        writers: split → where its items go.
        reporter: told of the progress.

    Raises:
        WrongInputError: a file is wrong.
    """
    trained_on = sum(corpus.role.startswith("train") for corpus in job.corpora)
    cut = CutCorpora({column.role: PieceNumbers() for column in columns}, [0] * trained_on)
    total = _known_lines(job)
    workers = RunSection.model_validate(job.settings["run"]).workers
    with ExitStack() as opened:
        reader = _Reader(job, columns, tokenizer, cut.remarks, opened)
        chunks = opened.enter_context(
            closing(
                ordered_map(_cutter(tokenizer, columns, limits), reader.chunks(), workers, "cuts text", "run.workers")
            )
        )
        for message in chunks:
            _gather(cut, reader.labels.popleft(), CutChunk.from_bytes(message), writers)
            reporter.progress(sum(cut.read.values()) + reader.skipped, total, "lines")
    done = sum(cut.read.values()) + reader.skipped
    reporter.progress(done, done, "lines")
    return cut


def _known_lines(job: Job) -> int | None:
    """Return how many lines all corpora have, None when that is not known of one of them."""
    lines = [corpus.lines for corpus in job.corpora if corpus.lines is not None]
    return sum(lines) if len(lines) == len(job.corpora) else None


def _cutter(tokenizer: Tokenizer, columns: Sequence[Column], limits: Limits) -> Callable[[bytes], bytes]:
    """Return what the processes do: a message with rows in, a message with their pieces out."""
    roles = [column.role for column in columns]
    labels = {column.role for column in columns if column.labels}

    def cut(message: bytes) -> bytes:
        chunk = json.loads(message)
        return cut_rows(tokenizer, roles, chunk["rows"], limits if chunk["limited"] else None, labels).to_bytes()

    return cut


def _gather(cut: CutCorpora, label: _Label, chunk: CutChunk, writers: Mapping[str, SplitWriter]) -> None:
    """Take over a chunk: its pieces into the common numbering, its items into the files."""
    numbers = {
        role: cut.numbers[role].merge(label.split, chunk.pieces[role], chunk.numbers[role]) for role in chunk.numbers
    }
    before = writers[label.split].items
    writers[label.split].append(numbers, chunk.lengths)
    cut.read[label.split] += label.rows
    if label.split == "train" and label.corpus is not None:
        cut.kept[label.corpus] += writers["train"].items - before
    for reason, count in chunk.left_out.items():
        cut.left_out[reason] = cut.left_out.get(reason, 0) + count


class _Reader:
    """Reads the corpora into chunks of rows of one split and one corpus, and writes the validation text as it passes.

    Args:
        job: the corpora.
        columns: the task's columns.
        tokenizer: says how validation text reads.
        remarks: counts what is in the files and not in the rows.
        opened: closes the text files.
    """

    def __init__(
        self, job: Job, columns: Sequence[Column], tokenizer: Tokenizer, remarks: RowRemarks, opened: ExitStack
    ) -> None:
        assert job.output is not None
        self._job = job
        self._columns = columns
        self._tokenizer = tokenizer
        self._remarks = remarks
        self._texts: list[IO[bytes]] = [
            opened.enter_context(durable.new_file(Path(job.output) / f"valid.{column.role}.txt")) for column in columns
        ]
        self.labels: deque[_Label] = deque()
        self.skipped = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield chunks as messages; the label of each is appended to `labels` first."""
        trained_on = 0
        for corpus in self._job.corpora:
            own: int | None = None
            if corpus.role.startswith("train"):
                own, trained_on = trained_on, trained_on + 1
            pending: dict[str, _Pending] = {split: _Pending() for split in SPLITS}
            for side, row in sided_rows(self._job, corpus, self._remarks):
                if side == "test":
                    self.skipped += 1
                    continue
                if side == "valid":
                    self._keep_text(row)
                pending[side].add(row)
                if pending[side].full:
                    yield self._message(side, own, pending[side])
                    pending[side] = _Pending()
            for split, rest in pending.items():
                if rest.rows:
                    yield self._message(split, own, rest)

    def _message(self, split: str, corpus: int | None, pending: _Pending) -> bytes:
        self.labels.append(_Label(split, corpus, len(pending.rows)))
        return json.dumps({"limited": split == "train", "rows": pending.rows}, ensure_ascii=False).encode()

    def _keep_text(self, row: Row) -> None:
        for column, text, file in zip(self._columns, row, self._texts, strict=True):
            surface = text if column.labels else self._tokenizer.surface(column.role, text)
            file.write(surface.encode() + b"\n")


@dataclass(slots=True)
class _Pending:
    """Rows that wait to become a chunk."""

    rows: list[Row] = field(default_factory=list)
    characters: int = 0

    @property
    def full(self) -> bool:
        return len(self.rows) >= _CHUNK_ROWS or self.characters >= _CHUNK_CHARACTERS

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.characters += sum(map(len, row))
