"""Labels predicted at once, for tasks without a search: of validation items, and of the lines of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from specforge.data.labels import Labels
from specforge.execution.job import Job
from specforge.foundation.errors import Place, WrongInputError
from specforge.generation.batches import decoding_batches
from specforge.language.model_folders import checkpoint_alone
from specforge.language.schema.generate import GenerateSection
from specforge.models.model import Model
from specforge.steps.devices import chosen_device
from specforge.steps.model_folder import load_model
from specforge.steps.parts import task_config
from specforge.tasks.task import Item, Task


class Predictor:
    """Predicts the labels of items.

    Args:
        task: makes batches of them.
        model: on `device`, in evaluation mode while it predicts.
        labels: what can be predicted.
        device: where to compute.
    """

    def __init__(self, task: Task, model: Model, labels: Labels, device: torch.device) -> None:
        self._task = task
        self._model = model
        self._labels = labels
        self._device = device

    def labels(self, items: Sequence[Item]) -> list[str]:
        """Return the label of each item."""
        batch = self._task.collate(items).to(self._device)
        return [self._labels[index] for index in self._task.predict(self._model, batch).tolist()]


def predicted_lines(
    job: Job, lines: Sequence[str], done: Callable[[int], None], place: Callable[[int], Place]
) -> tuple[list[str], Labels]:
    """Return the label of each line and the labels that can be predicted, with the checkpoint that `generate.checkpoint` names.

    Args:
        job: the job of a generate step.
        lines: what is read.
        done: told how many lines are done, after each batch.
        place: where the user finds a line.

    Raises:
        WrongInputError: SF506, a line is longer than the model's positions.
        CorruptStateError: SF614, the checkpoint is not what train wrote.
        EnvironmentFaultError: SF604, there is no such device.
    """
    section = GenerateSection.model_validate(job.settings["generate"])
    config = task_config(job.settings["task"])
    role = config.columns()[0].role
    device = chosen_device(job.settings)
    trained = load_model(Path(job.needs["train"]) / checkpoint_alone(section), device)
    vocabulary, eos = trained.vocabularies[role], trained.vocabularies[role].symbols.eos
    pieces = trained.tokenizer.encode(role, lines)
    items: list[Item] = [{role: np.array([*vocabulary.encode(each), eos], np.int64)} for each in pieces]
    lengths = [len(item[role]) for item in items]
    _check_lengths(lengths, trained.model.max_positions().get(role), place)
    labels = trained.labels[config.predicted]
    predictor = Predictor(trained.task, trained.model, labels, device)
    found = [""] * len(lines)
    finished = 0
    for numbers in decoding_batches(lengths, section.batch_tokens):
        for number, label in zip(numbers, predictor.labels([items[number] for number in numbers]), strict=True):
            found[number] = label
        finished += len(numbers)
        done(finished)
    return found, labels


def _check_lengths(lengths: Sequence[int], longest: int | None, place: Callable[[int], Place]) -> None:
    too_long = [number for number, length in enumerate(lengths) if longest is not None and length > longest]
    if too_long:
        first = too_long[0]
        raise WrongInputError(
            "SF506",
            f"a line of {lengths[first]:,} tokens, the end counted, is more than the model's {longest:,} positions",
            place=place(first),
            help="shorten the line: nothing is cut off silently",
        )
