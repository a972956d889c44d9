"""The preprocess step: from text to vocabularies and an indexed binary corpus, in one pass over the text.

The result holds `corpus.json` and the files it describes (`specforge.data.corpus`), `valid.<role>.txt` with the validation
text line by line, `vocabulary.<role>.txt` (of a column of labels `labels.<role>.txt`), `tokenizer/` with the tokenizer's files, and
`summary.json` with figures for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from specforge.data.corpus import CorpusFacts, token_type, write_facts
from specforge.data.corpus_writer import SplitWriter
from specforge.data.cutting import EMPTY, RATIO, TOO_LONG, Limits
from specforge.data.labels import UNKNOWN, Labels
from specforge.data.vocabulary import UNK, Vocabulary
from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import Reporter
from specforge.foundation.quantities import counted
from specforge.language.schema.data import PreprocessSection
from specforge.plugin import TokenizerConfig
from specforge.steps.corpora import report_remarks
from specforge.steps.cut_corpora import SPLITS, CutCorpora, cut_corpora
from specforge.steps.label_check import check_choice, check_labels
from specforge.steps.parts import configured, make_tokenizer, task_config
from specforge.steps.taken_vocabulary import take_vocabulary
from specforge.steps.tokenizer import tokenizer_files

_MEANING: Final[Mapping[str, str]] = {
    EMPTY: "with an empty side",
    TOO_LONG: "longer than max_length",
    RATIO: "over max_ratio",
}


def run(job: Job, reporter: Reporter) -> None:
    """Preprocess the data of a job.

    Raises:
        WrongInputError: a file is wrong, or nothing is left to train on or to validate with (SF504).
        WrongInputError, CorruptStateError: as `take_vocabulary`.
    """
    assert job.output is not None
    folder = Path(job.output)
    section = PreprocessSection.model_validate(job.settings["preprocess"])
    task = task_config(job.settings["task"])
    columns = task.columns()
    roles = [column.role for column in columns]
    joined = _joined(section, job.settings["tokenizer"])
    texts = [column.role for column in columns if not column.labels]
    taken = None if section.vocabulary is None else take_vocabulary(section.vocabulary, texts, joined=joined)
    files = tokenizer_files(Path(job.needs["tokenizer"])) if "tokenizer" in job.needs else {}
    files = files if taken is None else taken.tokenizer
    tokenizer = make_tokenizer(job.settings["tokenizer"])
    tokenizer.load(files)
    with ExitStack() as opened:
        writers = {name: opened.enter_context(SplitWriter(folder, name, roles)) for name in SPLITS}
        limits = Limits(section.max_length, section.max_ratio, task.keeps_blank_lines)
        cut = cut_corpora(job, columns, tokenizer, limits, writers, reporter)
        _check_something_is_left(cut, writers)
        counts = {role: cut.numbers[role].counts("train") for role in roles}
        vocabularies = (
            build_vocabularies({role: counts[role] for role in texts}, section, joined=joined)
            if taken is None
            else taken.vocabularies
        )
        labels = {column.role: Labels.of(counts[column.role]) for column in columns if column.labels}
        check_choice(labels)
        if any(UNKNOWN in cut.numbers[role].indices(known)[1:] for role, known in labels.items()):
            check_labels(job, labels)
        everything: Mapping[str, Vocabulary | Labels] = {**vocabularies, **labels}
        indices = {role: cut.numbers[role].indices(known) for role, known in everything.items()}
        dtypes = {role: token_type(len(known)) for role, known in everything.items()}
        splits = {name: writer.finish(indices, dtypes) for name, writer in writers.items()}
    facts = CorpusFacts(roles=roles, joined=joined, dtype=dtypes, splits=splits, segments=cut.segments())
    write_facts(folder, facts)
    for role, vocabulary in vocabularies.items():
        durable.write_file(folder / f"vocabulary.{role}.txt", vocabulary.to_bytes())
    for role, known in labels.items():
        durable.write_file(folder / f"labels.{role}.txt", known.to_bytes())
    kept = durable.make_folder(folder / "tokenizer")
    for name, data in files.items():
        durable.write_file(kept / name, data)
    durable.write_json(folder / "summary.json", _summary(cut, facts, vocabularies, labels, indices))
    _report(cut, facts, vocabularies, labels, reporter)


def build_vocabularies(
    counts: Mapping[str, Mapping[str, int]], section: PreprocessSection, *, joined: bool
) -> dict[str, Vocabulary]:
    """Choose the vocabulary of each column.

    Args:
        counts: role → piece → how often the training text has it.
        section: thresholds and sizes; a joined vocabulary, and the only one of a task with one text, has those of the
            source, as in fairseq.
        joined: whether all roles share one vocabulary, of the counts of all.
    """
    limits = section.model_dump()
    roles = list(counts)
    if joined:
        total: dict[str, int] = {}
        for pieces in counts.values():
            for piece, count in pieces.items():
                total[piece] = total.get(piece, 0) + count
        return dict.fromkeys(roles, _vocabulary(total, roles[0], limits))
    return {role: _vocabulary(counts[role], role, limits) for role in roles}


def _vocabulary(counts: Mapping[str, int], role: str, limits: Mapping[str, int | None]) -> Vocabulary:
    side = side_of(role)
    return Vocabulary.from_counts(
        counts,
        threshold=limits[f"threshold_{side}"] or 0,
        nwords=limits[f"nwords_{side}"],
        padding_factor=limits["padding_factor"] or 1,
    )


def side_of(role: str) -> str:
    """Return whose limits in [preprocess] hold for a column: those of the target, else of the source."""
    return "target" if role == "target" else "source"


def _joined(section: PreprocessSection, tokenizer: JsonValue) -> bool:
    if section.joined_dictionary is not None:
        return section.joined_dictionary
    _, config = configured("tokenizer", tokenizer)
    assert isinstance(config, TokenizerConfig)
    return config.joined()


def _check_something_is_left(cut: CutCorpora, writers: Mapping[str, SplitWriter]) -> None:
    if not cut.read["train"]:
        raise WrongInputError(
            "SF504", "there is no training data", help="the corpora are empty, or all of it is held out"
        )
    if not writers["train"].items:
        notes = tuple(f"{count:,} {_MEANING[reason]}" for reason, count in cut.left_out.items())
        message = f"none of {counted(cut.read['train'], 'training item')} is left"
        raise WrongInputError("SF504", message, notes=notes, help="look at [preprocess]")
    if not writers["valid"].items:
        raise WrongInputError("SF504", "there is no validation data", help="the corpus is empty, or hold_out too small")


def _summary(
    cut: CutCorpora,
    facts: CorpusFacts,
    vocabularies: Mapping[str, Vocabulary],
    labels: Mapping[str, Labels],
    indices: Mapping[str, NDArray[np.int64]],
) -> JsonValue:
    """Return the figures of `summary.json`: items read, kept and left out by reason, tokens, types, unknown tokens."""
    splits: dict[str, JsonValue] = {}
    for name, split in facts.splits.items():
        unknown = {role: cut.numbers[role].tokens_at(name, indices[role], UNK) for role in vocabularies}
        splits[name] = {
            "read": cut.read[name],
            "kept": split.items,
            "left_out": dict(cut.left_out) if name == "train" else {},
            "tokens": dict(split.tokens),
            "unknown": dict(unknown),
            "unknown_percent": {
                role: _percent(unknown[role], split.tokens[role] - split.items) for role in vocabularies
            },
        }
    return {
        "splits": splits,
        "types": {role: len(known) for role, known in {**vocabularies, **labels}.items()},
        "joined": facts.joined,
        "text": {
            "carriage_returns": cut.remarks.carriage_returns,
            "byte_order_marks": cut.remarks.byte_order_marks,
            "line_feeds": cut.remarks.line_feeds,
        },
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 3) if whole else 0.0


def _report(
    cut: CutCorpora,
    facts: CorpusFacts,
    vocabularies: Mapping[str, Vocabulary],
    labels: Mapping[str, Labels],
    reporter: Reporter,
) -> None:
    train, valid = facts.splits["train"], facts.splits["valid"]
    sizes = sorted({f"{len(vocabulary):,}" for vocabulary in vocabularies.values()})
    classes = "".join(f", {counted(len(known), 'label')}" for known in labels.values())
    reporter.message(
        f"{counted(train.items, 'item')} to train on, {valid.items:,} to validate with, "
        f"vocabulary of {' and '.join(sizes)} types{classes}"
    )
    if cut.left_out:
        reasons = ", ".join(f"{count:,} {_MEANING[reason]}" for reason, count in sorted(cut.left_out.items()))
        reporter.message(
            f"left out {sum(cut.left_out.values()):,} of {counted(cut.read['train'], 'training item')}: {reasons}"
        )
    for number, segment in enumerate(facts.segments):
        if segment.start == segment.stop:
            reporter.warning(f"nothing is left of training corpus {number + 1}")
    report_remarks(cut.remarks, reporter)
