"""A preprocess result, opened: its items, what they measure, and the budget of an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from specforge.data.batching import Budget, Items, Measure, Measures, WeightedSegment
from specforge.data.corpus import IndexedCorpus, read_facts
from specforge.data.labels import Labels
from specforge.data.vocabulary import Vocabulary
from specforge.language.schema.train import TrainSection
from specforge.models.model import Model
from specforge.plugin import ModelContext
from specforge.steps.model_folder import model_context, read_labels, read_vocabularies
from specforge.steps.parts import task_config
from specforge.tasks.task import ItemSource, Task


@dataclass(frozen=True, slots=True)
class Prepared:
    """The preprocess result, opened.

    Args:
        folder: where it is.
        train: training items, as the task arranges them.
        valid: validation items, too.
        segments: the training corpora with their weights.
        vocabularies: role of each text column → vocabulary.
        labels: role of each column of labels → labels.
        joined: whether all text columns share one vocabulary.
    """

    folder: Path
    train: ItemSource
    valid: ItemSource
    segments: Sequence[WeightedSegment]
    vocabularies: Mapping[str, Vocabulary]
    labels: Mapping[str, Labels]
    joined: bool

    @property
    def context(self) -> ModelContext:
        """What a model of these data is built for."""
        return model_context(self.vocabularies, self.labels, joined=self.joined)


def open_prepared(folder: Path, task: Task, data: JsonValue) -> Prepared:
    """Open a preprocess result.

    Args:
        folder: where it is.
        task: says what an item is.
        data: the setting `data` of a train job: a weight for each training corpus.

    Raises:
        CorruptStateError: SF614, it is not what preprocess wrote.
    """
    facts = read_facts(folder)
    assert isinstance(data, dict)
    tables = data["train"]
    assert isinstance(tables, list)
    weights = [table["weight"] for table in tables if isinstance(table, dict)]
    lines = {split: IndexedCorpus.open(folder, split, facts.roles) for split in ("train", "valid")}
    train = task.arranged(lines["train"], [(segment.start, segment.stop) for segment in facts.segments])
    segments = [
        WeightedSegment(start, stop, float(str(weight)))
        for (start, stop), weight in zip(train.spans, weights, strict=True)
        if stop > start
    ]
    return Prepared(
        folder,
        train.items,
        task.arranged(lines["valid"], [(0, len(lines["valid"]))]).items,
        segments,
        read_vocabularies(folder, facts.roles),
        read_labels(folder, facts.roles),
        facts.joined,
    )


def measure_of(corpus: ItemSource, task: Task) -> Measure:
    """Return what measures the items of a corpus for a task."""

    def measure(items: Items) -> Measures:
        lengths = corpus.lengths(items)
        return Measures(lengths, task.cost(lengths), task.width(lengths))

    return measure


def positions_of(corpus: ItemSource, model: Model) -> dict[str, int]:
    """Return the longest item that the model takes, by column role."""
    roles = corpus.lengths(np.empty(0, dtype=np.int64))
    return {role: longest for role, longest in model.max_positions().items() if role in roles}


def update_budget(train: TrainSection, task: JsonValue) -> Budget:
    """Return how much an update holds: as `[train]` says, else the task's default."""
    if train.batch_sentences:
        return Budget(sentences=train.batch_sentences)
    return Budget(tokens=train.batch_tokens or task_config(task).batch_tokens)


def described(prepared: Prepared, item: int) -> dict[str, JsonValue]:
    """Return what is known of a training item: the corpus it is from and its number there, from 1, and its pieces.

    Numbers count what preprocess kept.

    Args:
        prepared: the data.
        item: its number among all training items, from 0.
    """
    segments = [(number, one) for number, one in enumerate(prepared.segments, 1) if one.start <= item < one.stop]
    place: dict[str, JsonValue] = {}
    for number, segment in segments:
        place = {"corpus": number, "number_in_corpus": item - segment.start + 1}
    for role, tokens in prepared.train.item(item).items():
        vocabulary = prepared.vocabularies.get(role)
        numbers = tokens.tolist()
        place[role] = numbers if vocabulary is None else " ".join(vocabulary.pieces(numbers))
    return place
