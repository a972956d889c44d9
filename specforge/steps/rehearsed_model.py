"""The model of a job built and tried without values, and what goes wrong with it told as the spec's affair."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from specforge.data.vocabulary import EOS, UNK
from specforge.execution.job import Job
from specforge.foundation.errors import EnvironmentFaultError, SpecforgeError, StepFailedError, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.schema.run import RunSection
from specforge.language.schema.train import TrainSection
from specforge.plugin import ModelContext
from specforge.steps.devices import chosen_device
from specforge.steps.parts import make_criterion, make_model, make_optimizer
from specforge.tasks.task import Item, Task
from specforge.training import rehearsal
from specforge.training.layers import checkpoint_layers
from specforge.training.module import TrainingModule
from specforge.training.rehearsal import Rehearsal, fake_batch, needs_values, rehearse, without_values
from specforge.training.weights import module_weights

_FAILING: Final = "the model does not compute with these values"
_UNBUILT: Final = "the model cannot be built with these values"
_SMALL: Final = 50_000_000
"""Parameters of a model that may be built in earnest to see whether it really fails: 200 MB."""


class RehearsedModel:
    """The model of a job, without values.

    Args:
        job: the job.
        task: its task.
        context: what the model is built for.

    Attributes:
        device: what it is rehearsed on.
        is_elsewhere: whether that stands in for a device that this machine does not have.

    Raises:
        WrongInputError: SF402, it cannot be built with these values.
    """

    def __init__(self, job: Job, task: Task, context: ModelContext) -> None:
        self._settings = job.settings
        self._task = task
        self._context = context
        self.is_elsewhere = False
        try:
            self.device = chosen_device(job.settings)
        except EnvironmentFaultError:
            self.device, self.is_elsewhere = torch.device("cpu"), True
        self._is_followed = True
        try:
            with without_values(self.device):
                self._module = self._build()
        except Exception:  # noqa: BLE001  # a factory may need values; what is really wrong comes up again with them
            self._is_followed = False
            with _told(_UNBUILT):
                self._module = self._build()

    def parameters(self) -> dict[str, int]:
        """Return the parameters of each top-level module of the model; one that several share counts with the first."""
        by_part: dict[str, int] = {}
        for name, parameter in self._module.model.named_parameters():  # yields a shared parameter once
            part = name.partition(".")[0]
            by_part[part] = by_part.get(part, 0) + parameter.numel()
        return by_part

    def trainable(self) -> int:
        """Return how many parameters of the model are trained."""
        return sum(parameter.numel() for parameter in self._module.model.parameters() if parameter.requires_grad)

    def tensors(self) -> dict[str, list[int]]:
        """Return the shape of each tensor that is saved."""
        return {name: list(tensor.shape) for name, tensor in module_weights(self._module.model).items()}

    def gathered(self) -> int:
        """Return the bytes of the weights that a device holds whole at a time in an update, where devices share them.

        Those outside of layers, and of the layers two of the largest: one that computes and the next one.
        """
        model = self._module.model
        layers = [_bytes(block) for block in model.blocks()]
        return _bytes(self._module) - sum(layers) + sum(sorted(layers)[-2:])

    def rehearsed(self, lengths: Mapping[str, NDArray[np.int64]], *, again: bool) -> Rehearsal | None:
        """Rehearse a micro-batch, and return None where the model needs values for it.

        Args:
            lengths: column role → [items] lengths of the items, ends of sentence counted.
            again: whether gradients are there already.

        Raises:
            WrongInputError: SF402, it does not compute.
        """
        if not self._is_followed:
            return None
        items = _items(lengths, self._context)
        batch = self._task.collate(items)
        train = TrainSection.model_validate(self._settings["train"])
        averaged = train.ema_decay is not None
        try:
            with without_values(self.device) as mode:
                fake = fake_batch(batch, mode, self.device)
                return rehearse(
                    self._module, self._make_optimizer, fake, train.precision, again=again, averaged=averaged
                )
        except Exception as error:  # a model without values may fail in any way; below it is told which
            if needs_values(error) or not self._fails_in_earnest(items[:2]):
                return None
            shapes = ", ".join(f"{role} [{len(column)}, {int(column.max())}]" for role, column in lengths.items())
            raise _does_not_compute(_FAILING, error, f"on a micro-batch of {shapes}") from error

    def _build(self) -> TrainingModule:
        model = make_model(self._settings["model"], self._context)
        criterion = make_criterion(self._settings["criterion"], self._context)
        if RunSection.model_validate(self._settings["run"]).activation_checkpointing:
            checkpoint_layers(model)
        return TrainingModule(self._task, model, criterion).train()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        return make_optimizer(self._settings["optimizer"], self._module.trainable())

    def _fails_in_earnest(self, items: Sequence[Item]) -> bool:
        """Return whether a model that failed without values fails with values, too; a large one is taken to do so."""
        if sum(self.parameters().values()) > _SMALL:
            return True
        try:
            self._build()(self._task.collate(items)).total.backward()
        except Exception:  # noqa: BLE001  # whatever it is, the model does not compute
            return True
        return False


def _bytes(module: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def _items(lengths: Mapping[str, NDArray[np.int64]], context: ModelContext) -> list[Item]:
    """Return items of these lengths; what they say does not matter."""
    rows = zip(*(column.tolist() for column in lengths.values()), strict=True)
    return [
        {
            role: np.zeros(1, np.int64) if role in context.labels else _symbols(length)
            for role, length in zip(lengths, row, strict=True)
        }
        for row in rows
    ]


def _symbols(length: int) -> NDArray[np.integer]:
    symbols = np.full(length, UNK, np.int64)
    symbols[-1] = EOS
    return symbols


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what a factory raises into an error about the spec."""
    try:
        yield
    except StepFailedError as error:  # a plugin's factory; who called it has wrapped what it raised
        if error.code != "SF210" or not isinstance(error.__cause__, Exception):
            raise
        raise _does_not_compute(what, error.__cause__) from error
    except SpecforgeError:
        raise
    except Exception as error:  # a model's code may raise anything
        raise _does_not_compute(what, error) from error


def _does_not_compute(what: str, error: Exception, *notes: str) -> WrongInputError:
    said = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    return WrongInputError(
        "SF402", what, notes=(said, *_raised_at(error), *notes), help="`plan --no-estimates` does not try it"
    )


def _raised_at(error: Exception) -> Iterator[str]:
    """Yield where an exception was raised in the model's code; torch's, and ours around it, is left out."""
    around = {Path(rehearsal.__file__), Path(__file__), Path(torch.__file__).parent}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not around & {Path(frame.filename), *Path(frame.filename).parents}
    ]
    if frames:
        yield f"raised at {printable(frames[-1].filename)}:{frames[-1].lineno}, in `{frames[-1].name}`"
