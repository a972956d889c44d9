"""What training will come to, before anything runs: an update rehearsed without memory, and batching tried on lengths.

The answer is one record, called like the kind of the job: `specforge.planning.estimates.Estimates` as JSON.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from specforge.data.batch_figures import BatchFigures, batch_figures
from specforge.data.batching import Budget, Items, Measure, Measures, UpdatePlan
from specforge.execution.job import Job
from specforge.foundation.events import Reporter
from specforge.language.schema.run import RunSection
from specforge.language.schema.train import TrainSection
from specforge.planning.estimates import Estimates, Memory, Spread
from specforge.steps.expected_data import ExpectedData, expected_data
from specforge.steps.parts import make_task, task_config
from specforge.steps.prepared import update_budget
from specforge.steps.rehearsed_model import RehearsedModel
from specforge.training.rehearsal import Rehearsal

_OF_MODEL: Final = ("parameters", "trainable", "by_part", "tensors", "vocabulary")
_OF_UPDATES: Final = (
    "updates_per_epoch",
    "items_per_update",
    "target_tokens_per_update",
    "micro_batches_per_update",
    "padding",
)

_REFUSED: Final = "some items are larger than `train.batch_tokens` or `run.max_tokens` allow: training will refuse them"
_ELSEWHERE: Final = "torch finds no CUDA device on this machine: the memory is that of a CPU"
_UNFOLLOWED: Final = "the model's memory and operations cannot be told: what it does depends on the values of its data"


def run(job: Job, reporter: Reporter) -> None:
    """Estimate the training of a job: the settings of its train step, and the table `preprocess`.

    Raises:
        WrongInputError: SF402, the model cannot be built or does not compute; the text cannot be read.
        StepFailedError: SF210, a plugin failed.
    """
    reporter.record(job.kind, json=estimates(job).model_dump_json())


def estimates(job: Job) -> Estimates:
    """Return what the training of a job comes to; errors as `run`."""
    task = make_task(job.settings["task"])
    data = expected_data(job, task)
    train = TrainSection.model_validate(job.settings["train"])
    where = RunSection.model_validate(job.settings["run"])
    seed = job.settings["seed"]
    assert isinstance(seed, int)
    model = RehearsedModel(job, task, data.context)
    budget = update_budget(train, job.settings["task"])
    measure = _Fitting(data.measure, budget, where.max_tokens)
    figures = batch_figures(UpdatePlan(data.segments, measure, budget, seed), measure, where.max_tokens)
    largest = measure(figures.largest)
    rehearsal = model.rehearsed(largest.lengths, again=figures.pieces[1] > where.devices)
    found = _of_model(model, data, figures, train, task_config(job.settings["task"]).unit)
    if rehearsal is not None:
        found = _with_rehearsal(found, rehearsal, model, figures, largest, where)
    remarks = ((measure.refused, _REFUSED), (rehearsal is None, _UNFOLLOWED), (model.is_elsewhere, _ELSEWHERE))
    return found.model_copy(update={"notes": [*found.notes, *(text for applies, text in remarks if applies)]})


class _Fitting:
    """Measures items as if none were larger than an update or a micro-batch may be: training refuses such a corpus.

    Args:
        measure: measures them as they are.
        budget: how much an update holds.
        max_tokens: `run.max_tokens`.
    """

    def __init__(self, measure: Measure, budget: Budget, max_tokens: int) -> None:
        self._measure = measure
        self._budget = budget
        self._max_tokens = max_tokens
        self.refused = False

    def __call__(self, items: Items) -> Measures:
        """Return the measures of some items."""
        found, longest = self._measure(items), self._max_tokens
        most = longest if self._budget.tokens is None else self._budget.tokens
        self.refused = self.refused or bool((found.width > longest).any() or (found.cost > most).any())
        lengths = {role: np.minimum(column, longest) for role, column in found.lengths.items()}
        return Measures(lengths, np.minimum(found.cost, most), np.minimum(found.width, longest))


def _of_model(
    model: RehearsedModel, data: ExpectedData, figures: BatchFigures, train: TrainSection, unit: str
) -> Estimates:
    """Return what is known without a rehearsal."""
    by_part = model.parameters()
    per_epoch = figures.updates if figures.whole else data.items / figures.items[0]
    by_epochs = None if train.max_epochs is None else round(train.max_epochs * per_epoch)
    ends = [end for end in (train.max_updates, by_epochs) if end is not None]
    guessed = [] if data.exact else [*_OF_MODEL, *_OF_UPDATES]
    if data.exact and not figures.whole:
        guessed = [*_OF_UPDATES]
    if "updates_per_epoch" in guessed and min(ends) == by_epochs:
        guessed.append("updates")
    return Estimates(
        parameters=sum(by_part.values()),
        trainable=model.trainable(),
        by_part=by_part,
        tensors=model.tensors(),
        vocabulary={role: symbols.size for role, symbols in data.context.symbols.items()},
        updates_per_epoch=per_epoch,
        items_per_update=_spread(figures.items),
        target_tokens_per_update=_spread(figures.cost),
        unit=unit,
        micro_batches_per_update=_spread(figures.pieces),
        padding=1.0 - figures.real / figures.padded,
        updates=min(ends),
        approximate=guessed,
        notes=list(data.notes),
    )


def _with_rehearsal(
    found: Estimates,
    rehearsal: Rehearsal,
    model: RehearsedModel,
    figures: BatchFigures,
    largest: Measures,
    where: RunSection,
) -> Estimates:
    """Return estimates with memory and operations, from a rehearsal of the largest micro-batch.

    The operations of an update are those of that micro-batch, in proportion: attention by items x length², all else by
    tokens.
    """
    size = largest.padded()
    squares = size * size // len(largest.width)
    flop = rehearsal.linear * figures.padded / size + rehearsal.quadratic * figures.squares / squares
    memory = Memory(
        device="cuda" if model.device.type == "cuda" else "cpu",
        state=_kept(rehearsal, where, model.gathered(), again=figures.pieces[1] > where.devices),
        activations=max(rehearsal.peak - rehearsal.state, 0),
    )
    guessed = ["memory", "flop_per_update"] if found.approximate or model.is_elsewhere else ["flop_per_update"]
    return found.model_copy(
        update={"memory": memory, "flop_per_update": flop, "approximate": [*found.approximate, *guessed]}
    )


def _kept(rehearsal: Rehearsal, where: RunSection, gathered: int, *, again: bool) -> int:
    """Return the bytes that a device keeps in an update, beside activations.

    Args:
        rehearsal: what one device takes alone.
        where: how many there are, and how they share.
        gathered: bytes of weights that are whole at a time where they are cut.
        again: whether gradients add up over micro-batches; those are whole until the last one.
    """
    if where.devices == 1:
        return rehearsal.state
    if where.strategy == "ddp":
        return rehearsal.state + rehearsal.gradients  # which are exchanged in buffers of their own
    return -(-rehearsal.state // where.devices) + gathered + (rehearsal.gradients if again else gathered)


def _spread(figures: tuple[float, int]) -> Spread:
    return Spread(mean=figures[0], most=figures[1])
