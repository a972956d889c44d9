"""A preprocess result, opened: its items, what they measure, and the budget of an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from specforge.data.batching import Budget, Items, Measure, Measures, WeightedSegment
from specforge.data.corpus import IndexedCorpus, read_facts
from specforge.data.vocabulary import Vocabulary
from specforge.language.schema import TrainSection
from specforge.models.model import EncoderDecoder
from specforge.steps.model_folder import read_vocabularies
from specforge.steps.parts import task_config
from specforge.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Prepared:
    """The preprocess result, opened.

    Args:
        folder: where it is.
        train: training items.
        valid: validation items.
        segments: the training corpora with their weights.
        vocabularies: column role → vocabulary.
        joined: whether all columns share one vocabulary.
    """

    folder: Path
    train: IndexedCorpus
    valid: IndexedCorpus
    segments: Sequence[WeightedSegment]
    vocabularies: Mapping[str, Vocabulary]
    joined: bool


def open_prepared(folder: Path, data: JsonValue) -> Prepared:
    """Open a preprocess result.

    Args:
        folder: where it is.
        data: the setting `data` of a train job: a weight for each training corpus.

    Raises:
        CorruptStateError: SF614, it is not what preprocess wrote.
    """
    facts = read_facts(folder)
    assert isinstance(data, dict)
    tables = data["train"]
    assert isinstance(tables, list)
    weights = [table["weight"] for table in tables if isinstance(table, dict)]
    segments = [
        WeightedSegment(segment.start, segment.stop, float(str(weight)))
        for segment, weight in zip(facts.segments, weights, strict=True)
        if segment.stop > segment.start
    ]
    return Prepared(
        folder,
        IndexedCorpus.open(folder, "train", facts.roles),
        IndexedCorpus.open(folder, "valid", facts.roles),
        segments,
        read_vocabularies(folder, facts.roles),
        facts.joined,
    )


def measure_of(corpus: IndexedCorpus, task: Task) -> Measure:
    """Return what measures the items of a corpus for a task."""

    def measure(items: Items) -> Measures:
        lengths = corpus.lengths(items)
        return Measures(lengths, task.cost(lengths), task.width(lengths))

    return measure


def positions_of(corpus: IndexedCorpus, model: EncoderDecoder) -> dict[str, int]:
    """Return the longest item that the model takes, by column role."""
    roles = corpus.lengths(np.empty(0, dtype=np.int64))
    return {role: longest for role, longest in zip(roles, model.max_positions(), strict=True) if longest is not None}


def update_budget(train: TrainSection, task: JsonValue) -> Budget:
    """Return how much an update holds: as `[train]` says, else the task's default."""
    if train.batch_sentences:
        return Budget(sentences=train.batch_sentences)
    return Budget(tokens=train.batch_tokens or task_config(task).batch_tokens)
