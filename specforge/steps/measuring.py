"""A score step without outputs: the model itself is measured on the text of a test (perplexity of a language model)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch

from specforge.criterions.cross_entropy.loss import CrossEntropy
from specforge.data.batching import length_order, micro_batches
from specforge.data.memory_lines import MemoryLines
from specforge.data.readers import RowRemarks
from specforge.execution.job import Job
from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import Reporter
from specforge.foundation.quantities import counted
from specforge.language.model_folders import checkpoint_alone
from specforge.language.schema.generate import GenerateSection
from specforge.metrics.metric import Score
from specforge.steps.corpora import report_remarks, split_rows
from specforge.steps.devices import chosen_device
from specforge.steps.model_folder import TrainedModel, load_model
from specforge.steps.parts import make_task, task_config
from specforge.steps.prepared import measure_of
from specforge.tasks.task import ItemSource, MeasuredText, Task

_CHUNK: Final = 2_000


def measured_test(job: Job, reporter: Reporter) -> tuple[Sequence[Score], int]:
    """Measure the checkpoint that `generate.checkpoint` names.

    Args:
        job: the job of a score step that needs train.
        reporter: told of the progress, and of what was found in the text.

    Returns:
        The scores, and the number of lines.

    Raises:
        WrongInputError: SF504, the test is empty; SF506, an item is longer than the model's positions; others as
            `specforge.data.readers.read_rows`.
        CorruptStateError: SF614, the checkpoint is not what train wrote.
        EnvironmentFaultError: SF604, there is no such device.
    """
    section = GenerateSection.model_validate(job.settings["generate"])
    device = chosen_device(job.settings)
    trained = load_model(Path(job.needs["train"]) / checkpoint_alone(section), device)
    task, role = make_task(job.settings["task"]), task_config(job.settings["task"]).predicted
    lines, words = _read(job, trained, role, reporter)
    items = task.arranged_test(lines)
    _check_lengths(items, role, trained.model.max_positions().get(role))
    nll, count = _likelihood(trained, task, items, section.batch_tokens, device, reporter)
    return task.measured(nll, count, MeasuredText(len(lines), words)), len(lines)


def _read(job: Job, trained: TrainedModel, role: str, reporter: Reporter) -> tuple[MemoryLines, int]:
    """Return the lines of a test and how many words they have between white space."""
    remarks = RowRemarks()
    lines, words = MemoryLines(role), 0
    rows = (row[0] for row in split_rows(job, "test", remarks, [role]))
    for texts in _chunks(rows):
        lines.append({role: trained.encoded(role, texts)})
        words += sum(trained.words(role, texts))
    report_remarks(remarks, reporter)
    if not len(lines):
        raise WrongInputError("SF504", "the test has no lines", help="a hold-out may be too small a share")
    return lines, words


def _chunks(rows: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk


def _check_lengths(items: ItemSource, role: str, longest: int | None) -> None:
    lengths = items.lengths(np.arange(len(items), dtype=np.int64))[role]
    if longest is not None and int(lengths.max()) > longest:
        number = int(lengths.argmax())
        raise WrongInputError(
            "SF506",
            f"item {number + 1:,} of the test has {int(lengths[number]):,} tokens, more than the model's {longest:,} positions",
            help="cut the text into shorter blocks with `task.block_length`",
        )


def _likelihood(
    trained: TrainedModel, task: Task, items: ItemSource, batch_tokens: int, device: torch.device, reporter: Reporter
) -> tuple[float, int]:
    """Return the negative log-likelihood of all targets, in nats, and their number."""
    numbers = np.arange(len(items), dtype=np.int64)
    measures = measure_of(items, task)(numbers)
    order = length_order(measures)
    widest = int(measures.width.max())
    batches = micro_batches(order, measures.width[order], max(batch_tokens, widest))
    criterion = CrossEntropy()
    total = torch.zeros((), dtype=torch.float64, device=device)
    done = count = 0
    with torch.inference_mode():
        for chosen in batches:
            batch = task.collate([items.item(int(number)) for number in chosen]).to(device)
            loss = task.valid_step(trained.model, criterion, batch)
            total += loss.nll.double()
            count += loss.count
            done += len(chosen)
            reporter.progress(done, len(items), "items")
    reporter.message(f"measured {counted(count, 'token')} in {counted(len(items), 'item')}")
    return float(total), count
