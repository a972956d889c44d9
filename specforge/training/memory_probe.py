"""Whether the largest micro-batch that may come fits into memory, tried before the first update.

What a micro-batch needs grows with its width (attention) and with its targets (the projection to what is predicted), so the
two that are largest in these are computed as in an update: forward, backward on top of gradients that are there, and a step
of the optimizer that is told to change nothing. Weights, the optimizer's state and all results stay as they would be without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim import Optimizer

from specforge.data.batching import Budget, Items, Measure, Measures, windows
from specforge.foundation.errors import EnvironmentFaultError
from specforge.tasks.task import Task
from specforge.training.loading import Corpus
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.precision import Precision, autocast

_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
_FRACTION: Final = 32  # what fits is found to this part of itself


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory does not suffice; on a processor PyTorch has no class for it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


@dataclass(frozen=True, slots=True)
class Probed:
    """What the largest micro-batch needs on a device that counts it.

    Args:
        peak: bytes allocated at the most.
        total: bytes that the device has.
    """

    peak: int
    total: int


class MemoryProbe:
    """Tries micro-batches.

    Args:
        strategy: how the processes hold the module, which is in training mode.
        optimizer: built for `strategy.trainable()`, before its first step.
        task: makes batches.
        corpus: the training items.
        measure: measures them.
        items: how many they are.
        budget: how much an update holds.
        precision: of the forward pass.
        parallel: this process among all; all of them probe together.
    """

    def __init__(
        self,
        strategy: Strategy,
        optimizer: Optimizer,
        task: Task,
        corpus: Corpus,
        measure: Measure,
        items: int,
        budget: Budget,
        precision: Precision,
        parallel: Parallel,
    ) -> None:
        self._strategy = strategy
        self._module = strategy.module
        self._optimizer = optimizer
        self._task = task
        self._corpus = corpus
        self._measure = measure
        self._items = items
        self._budget = budget
        self._precision = precision
        self._parallel = parallel

    def check(self, max_tokens: int) -> Probed | None:
        """Try the largest micro-batches that may come, and return what they need where the device counts that.

        Args:
            max_tokens: `run.max_tokens`.

        Raises:
            EnvironmentFaultError: SF678, one does not fit; the message says what would.
        """
        cuda = self._parallel.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats(self._parallel.device)
        with self._nothing_changed():
            worst = self._first_too_large(max_tokens)
            if worst is None:
                return self._probed() if cuda else None
            raise self._too_large(worst, max_tokens, self._largest_that_fits(max_tokens))

    def _probed(self) -> Probed:
        device = self._parallel.device
        return Probed(torch.cuda.max_memory_allocated(device), torch.cuda.mem_get_info(device)[1])

    def _first_too_large(self, max_tokens: int) -> Items | None:
        for items in worst_micro_batches(self._items, self._measure, self._budget, max_tokens):
            if not self._fits(items):
                return items
        return None

    def _largest_that_fits(self, too_large: int) -> int | None:
        """Return a `run.max_tokens` that fits, nearly the largest, or None where the widest item is too large alone."""
        low, high = self._widest(), too_large
        if self._first_too_large(low) is not None:
            return None
        while high - low > max(low // _FRACTION, 1):
            middle = (low + high) // 2
            low, high = (middle, high) if self._first_too_large(middle) is None else (low, middle)
        return low

    def _widest(self) -> int:
        return max(int(measures.width.max()) for _, measures in windows(self._items, self._measure))

    def _fits(self, items: Items) -> bool:
        """Return whether a micro-batch fits in all processes."""
        fits = True
        try:
            self._compute(items)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        self._strategy.forget_gradients()
        if self._parallel.device.type == "cuda":
            torch.cuda.empty_cache()
        return not self._parallel.agree(wish=not fits)

    def _compute(self, items: Items) -> None:
        device = self._parallel.device
        batch = self._task.collate([self._corpus.item(int(item)) for item in items]).to(device)
        together = self._strategy.together
        compute = self._strategy.step if together else self._module
        for last in (False, True):  # a second micro-batch finds the gradients of the first
            with self._strategy.accumulating(last=last) if together else nullcontext():
                with autocast(device, self._precision):
                    loss = compute(batch)
                loss.total.backward()
                del loss
        if together:
            self._strategy.gradients()
        if getattr(self._optimizer, "_step_supports_amp_scaling", False):
            self._optimizer.found_inf = torch.ones((), device=device)  # type: ignore[attr-defined]  # as in `Updater`
            self._optimizer.step()

    @contextmanager
    def _nothing_changed(self) -> Iterator[None]:
        """Put back what a computation may leave behind: the optimizer's state, buffers, random numbers."""
        state = dict(self._optimizer.state)
        buffers = [(buffer, buffer.clone()) for buffer in self._module.buffers()]
        devices = [self._parallel.device] if self._parallel.device.type == "cuda" else []
        self._module.set_num_updates(0)
        try:
            with torch.random.fork_rng(devices):
                yield
        finally:
            self._strategy.forget_gradients()
            self._optimizer.state.clear()
            self._optimizer.state.update(state)
            for buffer, before in buffers:
                buffer.copy_(before)

    def _too_large(self, items: Items, max_tokens: int, fitting: int | None) -> EnvironmentFaultError:
        width = int(self._measure(items).width.max())
        help_text = (
            "not even the widest item fits: leave out long items with `preprocess.max_length`, or take a smaller model"
            if fitting is None
            else f"set `run.max_tokens` to {fitting:,}, which fits; the updates stay the same"
        )
        return EnvironmentFaultError(
            "SF678",
            f"a micro-batch of {len(items):,} items, {width:,} tokens wide, does not fit into the memory of "
            f"`{self._parallel.device}`",
            notes=(f"`run.max_tokens = {max_tokens}` allows it, and these data hold such items",),
            help=help_text,
        )


def worst_micro_batches(items: int, measure: Measure, budget: Budget, max_tokens: int) -> list[Items]:
    """Return the micro-batch of the widest items, and the one with most of what counts (targets), if it is another.

    Args:
        items: size of the corpus.
        measure: measures its items.
        budget: how much an update, and so a micro-batch, holds.
        max_tokens: most that a micro-batch holds, items x longest side.
    """
    found: list[Items] = []
    for largest in (_by_width, _by_cost):
        best: tuple[int, Items] | None = None
        for numbers, measures in windows(items, measure):
            size, chosen = largest(measures, budget, max_tokens)
            if best is None or size > best[0]:
                best = size, numbers[chosen]
        if best is not None and not any(np.array_equal(best[1], other) for other in found):
            found.append(best[1])
    return found


def _by_width(measures: Measures, budget: Budget, max_tokens: int) -> tuple[int, NDArray[np.int64]]:
    """Return width and places of the micro-batch of the widest items."""
    order = np.argsort(measures.width, kind="stable")[::-1]
    widest = int(measures.width[order[0]])
    return widest, order[: _run(budget.costs(measures)[order], max_tokens // widest, budget)]


def _by_cost(measures: Measures, budget: Budget, max_tokens: int) -> tuple[int, NDArray[np.int64]]:
    """Return cost and places of the costliest micro-batch of neighbours in width."""
    order = np.argsort(measures.width, kind="stable")
    sums = np.concatenate([[0], np.cumsum(measures.cost[order])])
    ends = np.arange(1, len(order) + 1)
    starts = np.maximum(ends - max_tokens // measures.width[order], 0)
    end = int(np.argmax(sums[ends] - sums[starts])) + 1
    chosen = order[starts[end - 1] : end][::-1]
    chosen = chosen[: _run(budget.costs(measures)[chosen], len(chosen), budget)]
    return int(measures.cost[chosen].sum()), chosen


def _run(costs: NDArray[np.int64], most: int, budget: Budget) -> int:
    """Return how many items from the first on fit into a number of items and an update."""
    return max(min(most, int(np.searchsorted(np.cumsum(costs), budget.size, side="right"))), 1)
