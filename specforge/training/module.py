"""What is trained: model and criterion as one module."""

from __future__ import annotations

from torch import nn

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch
from specforge.models.model import Model
from specforge.tasks.task import Task


class TrainingModule(nn.Module):
    """Model and criterion as one module whose forward pass is the task's training step.

    Data parallelism hooks into the forward pass of the module it wraps, and the vocabulary projection is called by the
    criterion: so the criterion is inside.
    """

    def __init__(self, task: Task, model: Model, criterion: Criterion) -> None:
        super().__init__()
        self._task = task
        self.model = model
        self.criterion = criterion

    def forward(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch."""
        return self._task.train_step(self.model, self.criterion, batch)

    def set_num_updates(self, updates: int) -> None:
        """Tell task and model how many updates have been done."""
        self._task.set_num_updates(updates)
        self.model.set_num_updates(updates)

    def trainable(self) -> list[tuple[str, nn.Parameter]]:
        """Return what is trained as (name, parameter) pairs, in the order of the names."""
        return sorted((name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad)

    def validate(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch of validation data."""
        return self._task.valid_step(self.model, self.criterion, batch)
