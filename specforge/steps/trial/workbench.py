"""What trials have in common: the data, the objects as training builds them, and one batch."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from specforge.data.batch import Batch
from specforge.data.batching import Items, Measure, UpdatePlan, check_items, micro_batches
from specforge.execution.job import Job
from specforge.execution.questions.text_findings import DataSource
from specforge.execution.questions.training_findings import BatchFigures
from specforge.foundation.events import Reporter
from specforge.foundation.seeds import derived_seed
from specforge.language.schema.run import RunSection
from specforge.language.schema.train import TrainSection
from specforge.language.spec import Registered
from specforge.models.model import Model
from specforge.plugin import Kind
from specforge.steps.devices import chosen_device
from specforge.steps.parts import configured, make_criterion, make_model, make_task, make_tokenizer, task_config
from specforge.steps.prepared import Prepared, measure_of, open_prepared, positions_of, update_budget
from specforge.steps.tokenizer import tokenizer_files
from specforge.steps.trial.blame import blame
from specforge.steps.trial.sample import prepare_data
from specforge.tasks.task import Task
from specforge.tokenizers.tokenizer import Tokenizer
from specforge.training.module import TrainingModule


class Workbench:
    """Builds what a trial asks for, once.

    Args:
        job: the trial.
        scratch: folder for what the trial needs and nobody keeps.
        reporter: hears warnings.
    """

    def __init__(self, job: Job, scratch: Path, reporter: Reporter) -> None:
        self.job = job
        self.settings = job.settings
        self.train = TrainSection.model_validate(job.settings["train"])
        self.where = RunSection.model_validate(job.settings["run"])
        self.source: DataSource | None = None
        self._scratch = scratch
        self._reporter = reporter

    @property
    def seed(self) -> int:
        """The spec's seed."""
        seed = self.settings["seed"]
        assert isinstance(seed, int)
        return seed

    def part(self, kind: Kind, setting: str | None = None) -> Registered:
        """Return which component a setting names."""
        registered, _ = configured(kind, self.settings[setting or kind])
        return registered

    @cached_property
    def prepared(self) -> Prepared:
        """The data; whoever asks is told in `source` what they are."""
        folder, self.source = prepare_data(self.job, self._scratch, self._reporter)
        return open_prepared(folder, self.task, self.settings["data"])

    @cached_property
    def task(self) -> Task:
        """The task."""
        with blame(self.part("task"), "where it is built"):
            return make_task(self.settings["task"])

    @property
    def types(self) -> int:
        """How many different symbols or labels a target may be."""
        role = task_config(self.settings["task"]).predicted
        labels = self.prepared.labels.get(role)
        return len(self.prepared.vocabularies[role]) if labels is None else len(labels)

    @cached_property
    def device(self) -> torch.device:
        """Where to compute: the first device that `[run]` names."""
        return chosen_device(self.settings)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with what it has learned."""
        tokenizer = make_tokenizer(self.settings["tokenizer"])
        tokenizer.load(tokenizer_files(self.prepared.folder))
        return tokenizer

    def module(self) -> TrainingModule:
        """Return model and criterion with the weights that training starts from, on the device, in training mode."""
        context = self.prepared.context
        torch.manual_seed(derived_seed(self.seed, "first weights"))
        with blame(self.part("model"), "where it is built"):
            model = make_model(self.settings["model"], context)
        with blame(self.part("criterion"), "where it is built"):
            criterion = make_criterion(self.settings["criterion"], context)
        return TrainingModule(self.task, model, criterion).to(self.device).train()

    @cached_property
    def measure(self) -> Measure:
        """Measures training items."""
        return measure_of(self.prepared.train, self.task)

    def plan(self, model: Model | None = None) -> UpdatePlan:
        """Return the updates of training.

        Args:
            model: one whose positions limit the items, or None.

        Raises:
            WrongInputError: SF506, an item is longer than an update, a micro-batch or the model's positions.
        """
        corpus, budget = self.prepared.train, update_budget(self.train, self.settings["task"])
        positions = {} if model is None else positions_of(corpus, model)
        check_items(len(corpus), self.measure, "training data", self.where.max_tokens, budget, positions)
        return UpdatePlan(self.prepared.segments, self.measure, budget, self.seed)

    def batch(self, model: Model, most: int | None = None) -> Batch:
        """Return the first micro-batch of training, on the device.

        Args:
            model: its positions limit the items.
            most: how many items to take of it; None for all.
        """
        items = next(self.plan(model).updates(epoch=1)).items
        return self.collated(micro_batches(items, self.measure(items).width, self.where.max_tokens)[0][:most])

    def collated(self, items: Items) -> Batch:
        """Return some training items as a batch on the device."""
        with blame(self.part("task"), "where it pads items into a batch"):
            return self.task.collate([self.prepared.train.item(int(item)) for item in items]).to(self.device)

    def unequal_items(self, longest: int, among: int = 64) -> Items:
        """Return the shortest, a middle and the longest of the first items, none wider than `longest` if there are such."""
        items = np.arange(min(among, len(self.prepared.train)), dtype=np.int64)
        widths = self.measure(items).width
        fitting = items[widths <= longest]
        ranked = fitting[np.argsort(widths[fitting], kind="stable")] if len(fitting) else items[widths.argmin()][None]
        return np.unique(ranked[[0, len(ranked) // 2, -1]])

    def batch_figures(self, batch: Batch) -> BatchFigures:
        """Return what to say of a batch."""
        task = task_config(self.settings["task"])
        return BatchFigures(
            items=batch.items,
            lengths=dict(batch.sides()),
            target_tokens=batch.target_tokens,
            device=self.device.type,
            unit="labels" if task.predicted in self.prepared.labels else task.unit,
        )

    def table(self, setting: str) -> JsonValue:
        """Return a table of the settings."""
        return self.settings[setting]
