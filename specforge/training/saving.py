"""Saving a training and taking it up again, in the background where that keeps every promise.

With `checkpoint_every = "N updates"` a kill costs at most N updates, so training waits until the state is on disk. With an
interval in minutes nobody counts updates: the state is copied, and hashed and written by a thread while training goes on.
Weights that are cut over several devices are written by all processes together, with exchanges among them, which a thread must
not mix with those of the updates: they are waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor
from torch.optim import Optimizer

from specforge.foundation.events import Reporter
from specforge.training.checkpoints import Checkpoints
from specforge.training.ema import Ema
from specforge.training.loss_scale import LossScale, LossScaleState
from specforge.training.optimizer_state import load_optimizer_state, optimizer_state
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.resumable import Resumable
from specforge.training.settings import Every
from specforge.training.state import TrainingState
from specforge.training.weights import give_weights


class Saving:
    """Saves a training and takes it up again.

    At most one save is being written. Whatever else looks at checkpoints or validated weights, the next save included, waits
    for it, and raises what it raised. All processes call every method, not every property, at the same places.

    As a context it ends with nothing being written: an error that ends training does not cut a save short.

    Args:
        strategy: how the processes hold the module.
        optimizer: built for `strategy.trainable()`.
        ema: averages of the weights, where there are any.
        loss_scale: the factor of the losses, where there is one.
        checkpoints: of this trajectory; nobody else uses them meanwhile.
        parallel: this process among those that train.
        every: how often to save.
        is_point: whether training may have to go back to the state after so many updates.
        reporter: hears of a save that failed while something else ended training.
    """

    def __init__(
        self,
        strategy: Strategy,
        optimizer: Optimizer,
        ema: Ema | None,
        loss_scale: LossScale | None,
        checkpoints: Checkpoints,
        parallel: Parallel,
        every: Every,
        is_point: Callable[[int], bool],
        reporter: Reporter,
    ) -> None:
        self._strategy = strategy
        self._optimizer = optimizer
        self._ema = ema
        self._loss_scale = loss_scale
        self._checkpoints = checkpoints
        self._parallel = parallel
        self._every = every
        self._is_point = is_point
        self._reporter = reporter
        self._thread = ThreadPoolExecutor(1, "saving")  # which starts with its first work
        self._writing: Future[None] | None = None
        self._saved = None if is_point(0) else _what_counts(TrainingState())
        self._saved_at = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End with nothing being written; a save that fails beside another error is told only."""
        self._thread.shutdown()
        if error is not None and self.failed:
            self._reporter.warning(f"the last save failed, too: {self._failure()}")
        elif error is None:
            self._settle()

    @property
    def in_background(self) -> bool:
        """Whether training goes on while a save is written."""
        return self._every.unit == "minute" and not self._strategy.together

    @property
    def is_writing(self) -> bool:
        """Whether this process is writing."""
        return self._writing is not None and not self._writing.done()

    @property
    def failed(self) -> bool:
        """Whether the save that is being written has failed, as far as this process knows."""
        return self._failure() is not None

    def time_reached(self) -> bool:
        """Return whether the clock says that it is time to save; that of rank 0 decides for all."""
        passed = time.monotonic() - self._saved_at
        return self._parallel.main and self._every.unit == "minute" and passed >= 60 * self._every.count

    def due(self, state: TrainingState, *, wanted: bool) -> bool:
        """Return whether to save here.

        Args:
            state: how far training is.
            wanted: whether all processes know that it is time to.
        """
        here = wanted or self._every.reached(state) or self._is_point(state.updates)
        return here and not self.has_saved(state)

    def has_saved(self, state: TrainingState) -> bool:
        """Return whether the last save was after as many updates and validations."""
        return self._saved == _what_counts(state)

    def save(self, state: TrainingState, *, complete: bool) -> None:
        """Save, or begin to.

        Args:
            state: how far training is; it may change as soon as this returns.
            complete: False when the validation that is due at this update was cut short.

        Raises:
            StepFailedError: SF633, a weight is not finite.
            EnvironmentFaultError, OSError: the disk is full, or fails; this save or the one before it.
        """
        tensors, rest = optimizer_state(self._optimizer, self._strategy.trainable())
        averages = None if self._ema is None else self._ema.state()
        resumable = Resumable(state, self._strategy.local_weights(), tensors, rest, averages)
        if self._strategy.together:
            self._checkpoints.save_parts(resumable, self._strategy.parts(), self._parallel, complete=complete)
        else:
            self._parallel.on_main(lambda: self._write(resumable, complete=complete))
        self._saved, self._saved_at = _what_counts(state), time.monotonic()

    def wait(self) -> None:
        """Wait until everything is on disk.

        Raises:
            SpecforgeError, OSError: as `save`.
        """
        if self.in_background:
            self._parallel.on_main(self._settle)

    def newest(self, usable: Callable[[TrainingState], bool], *, first: bool = False) -> Path | None:
        """Return the newest whole checkpoint that may be used.

        Args:
            usable: whether training may go on from a state.
            first: whether an earlier process may have left something half-written.

        Raises:
            CorruptStateError: SF615, there are checkpoints and all are damaged.
        """

        def found() -> str | None:
            self._settle()
            if first:
                self._checkpoints.prepare()
            path = self._checkpoints.newest(usable)
            return None if path is None else str(path)

        path = self._parallel.on_main(found)
        return Path(path) if isinstance(path, str) else None

    def restore(self, path: Path) -> TrainingState:
        """Take up what a checkpoint holds, and return how far training was.

        Raises:
            CorruptStateError: SF614, it does not fit.
        """
        saved = self._checkpoints.read(path, self._strategy.parts(), with_ema=self._ema is not None)
        give_weights(self._strategy.local_weights(), saved.weights, path)
        load_optimizer_state(self._optimizer, self._strategy.trainable(), saved.optimizer, saved.optimizer_rest, path)
        if self._ema is not None and saved.ema is not None:
            self._ema.load(saved.ema, path)
        if self._loss_scale is not None:
            self._loss_scale.load(saved.state.loss_scale or LossScaleState())
        self._saved = _what_counts(saved.state)
        return saved.state

    def snapshot(self, updates: int, weights: Mapping[str, Tensor]) -> str:
        """Publish validated weights, which rank 0 has whole, and return the name to find them by."""

        def published() -> str:
            self._settle()
            return self._checkpoints.snapshot(updates, weights)

        name = self._parallel.on_main(published)
        assert isinstance(name, str)
        return name

    def prune(self, state: TrainingState) -> None:
        """Remove what neither this state nor a kept checkpoint needs."""

        def pruned() -> None:
            self._settle()
            self._checkpoints.prune(state)

        self._parallel.on_main(pruned)

    def _write(self, resumable: Resumable, *, complete: bool) -> None:
        self._settle()
        if self.in_background:
            copy = resumable.copied()
            self._writing = self._thread.submit(lambda: self._checkpoints.save(copy, complete=complete))
        else:
            self._checkpoints.save(resumable, complete=complete)

    def _failure(self) -> BaseException | None:
        return self._writing.exception() if self._writing is not None and self._writing.done() else None

    def _settle(self) -> None:
        """Wait for what is being written, and raise what that raised, once."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _what_counts(state: TrainingState) -> tuple[int, int]:
    """Return by what two states of a training differ: the updates, and whether they have been validated."""
    return state.updates, len(state.validations)
