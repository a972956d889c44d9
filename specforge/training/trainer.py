"""The trainer: from the first update to the last, exactly as if nothing had ever interrupted it.

It reads top to bottom: `train` resumes, then validates, saves and updates in turn until a limit is reached. What an update
is made of, in which order, and every random number follow from the seed and the number of the update; beside that there are
weights, optimizer and a handful of numbers (`TrainingState`), and those are what a checkpoint holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

from torch.optim import Optimizer

from specforge.foundation.errors import StoppedRunError
from specforge.foundation.events import Reporter
from specforge.plugin import Progress, Schedule, Validated
from specforge.training.checkpoints import Checkpoints, Resumable
from specforge.training.loading import PreparedUpdate, UpdateLoader
from specforge.training.log import TrainingLog, UpdateFigures
from specforge.training.optimizer_state import load_optimizer_state, optimizer_state
from specforge.training.parallel import Parallel, TrainingModule
from specforge.training.precision import Precision
from specforge.training.state import Limits, Selection, TrainingState, Validation
from specforge.training.stopping import StopRequest
from specforge.training.updater import Updater
from specforge.training.validation import Validator
from specforge.training.weights import load_weights, module_weights


@dataclass(frozen=True, slots=True)
class Every:
    """A distance: a count and what is counted."""

    count: int
    unit: Literal["update", "epoch", "minute"]


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """How training goes; names as in `[train]` and `[run]`.

    Args:
        seed: the spec's seed.
        limits: what ends training and may be raised.
        selection: which validated weights are published.
        clip_norm: largest norm of the mean gradient; 0 leaves gradients alone.
        precision: of the forward passes.
        validate_every: the grid of validations.
        checkpoint_every: how often to save.
        stop_min_lr: training ends when the learning rate falls below it.
        log_every: updates between two records.
        environment: what equal bits depend on beside the spec: versions, devices, threads.
    """

    seed: int
    limits: Limits
    selection: Selection
    clip_norm: float
    precision: Precision
    validate_every: Every
    checkpoint_every: Every
    stop_min_lr: float | None
    log_every: int
    environment: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What training came to.

    Args:
        state: at its end.
        ending: what ended it: `max_updates`, `max_epochs`, `patience` or `stop_min_lr`.
        last_values: validation figures of the last weights.
    """

    state: TrainingState
    ending: str
    last_values: dict[str, float]


class Trainer:
    """Trains a module.

    Args:
        module: model and criterion, on their device, with their first weights.
        optimizer: built for `module.trainable()`.
        schedule: the learning rate of each update.
        loader: the updates.
        validator: validates the module.
        checkpoints: of this trajectory.
        parallel: this process among those that train.
        settings: how training goes.
        reporter: hears what happens.
        stop: whether somebody asks for a stop.
    """

    def __init__(
        self,
        module: TrainingModule,
        optimizer: Optimizer,
        schedule: Schedule,
        loader: UpdateLoader,
        validator: Validator,
        checkpoints: Checkpoints,
        parallel: Parallel,
        settings: TrainerSettings,
        reporter: Reporter,
        stop: StopRequest,
    ) -> None:
        self._module = module
        self._updater = Updater(
            module,
            optimizer,
            parallel,
            seed=settings.seed,
            clip_norm=settings.clip_norm,
            precision=settings.precision,
        )
        self._parameters = module.trainable()
        self._optimizer = optimizer
        self._schedule = schedule
        self._loader = loader
        self._validator = validator
        self._checkpoints = checkpoints
        self._parallel = parallel
        self._settings = settings
        self._reporter = reporter
        self._stop = stop
        self._log = TrainingLog(reporter, settings.log_every)
        self._state = TrainingState(environment=dict(settings.environment))
        self._judged: tuple[Validated, ...] = ()  # follows the state's validations, which only grow
        self._updates_per_epoch: int | None = None
        self._stop_wanted = False
        self._save_wanted = False
        self._saved_updates = 0
        self._saved_at = time.monotonic()

    def train(self) -> Outcome:
        """Train until a limit is reached, from the newest checkpoint on if there is one.

        Raises:
            StoppedRunError: SF643, SIGTERM came; the state is saved.
            StepFailedError: SF633, a loss, gradient or weight is not finite.
            CorruptStateError: SF615, there are checkpoints and all are damaged.
        """
        self._resume()
        with closing(self._loader.updates(self._state.epoch, self._state.position)) as updates:
            ending = self._run(updates)
        if self._saved_updates != self._state.updates:
            self._save()
        return Outcome(self._state, ending, self._last_values())

    def _run(self, updates: Iterator[PreparedUpdate]) -> str:
        while True:
            if self._validation_due():
                self._validate()
            ending = self._ending()
            if ending is not None:
                return ending
            if self._save_due():
                self._save()
            self._update(next(updates))
            if self._stop_wanted:
                self._stop_here()

    def _update(self, prepared: PreparedUpdate) -> None:
        began = time.monotonic()
        lr = self._schedule(self._progress())
        wishes = [self._stop.made, self._save_time_reached()]
        updated = self._updater.apply(prepared.pieces, lr, self._state.updates, wishes)
        self._stop_wanted, self._save_wanted = updated.wishes
        self._advance(prepared, time.monotonic() - began)
        self._log.update(
            UpdateFigures(
                epoch=prepared.update.epoch,
                loss=updated.loss,
                nll=updated.nll,
                count=updated.count,
                tokens=prepared.tokens,
                real=prepared.real,
                padded=prepared.padded,
                gradient_norm=updated.gradient_norm,
                lr=lr,
                waited=prepared.waited,
            ),
            self._state.updates,
            self._expected_updates(),
            self._state.seconds,
        )

    def _advance(self, prepared: PreparedUpdate, seconds: float) -> None:
        state, update = self._state, prepared.update
        state.updates += 1
        state.tokens += prepared.tokens
        state.seconds += seconds + prepared.waited
        state.epoch, state.position = (update.epoch + 1, 0) if update.last else (update.epoch, update.position + 1)

    def _validation_due(self) -> bool:
        every, state = self._settings.validate_every, self._state
        if every.unit == "update":
            on_grid = state.updates > 0 and state.updates % every.count == 0
        else:
            on_grid = state.epoch > 1 and state.position == 0 and (state.epoch - 1) % every.count == 0
        return on_grid and not state.validated

    def _validate(self) -> None:
        values = self._figures()
        if values is None:
            self._stop_here()
        began = time.monotonic()
        state = self._state
        weights = module_weights(self._module.model)
        name = self._parallel.on_main(lambda: self._checkpoints.snapshot(state.updates, weights))
        assert isinstance(name, str)
        validation = Validation(updates=state.updates, epoch=state.last_epoch, values=values, snapshot=name)
        state.validations.append(validation)
        self._parallel.on_main(lambda: self._checkpoints.prune(state))
        self._log.pause(time.monotonic() - began)
        best = self._settings.selection.best(state.validations)
        self._report(values, best=best is validation)

    def _figures(self) -> dict[str, float] | None:
        """Validate the present weights; None when asked to stop."""
        began = time.monotonic()
        # Or a model with a schedule would be validated otherwise after a resume than before.
        self._module.set_num_updates(self._state.updates)
        values = self._validator.validate(self._module, lambda: self._stop.made)
        self._state.seconds += time.monotonic() - began
        self._log.pause(time.monotonic() - began)
        return values

    def _report(self, values: Mapping[str, float], *, best: bool) -> None:
        updates, epoch = self._state.updates, self._state.last_epoch
        self._reporter.record("valid", updates=updates, epoch=epoch, best=best, **values)
        shown = ", ".join(f"{name} {value:.2f}" for name, value in values.items() if name != "nll")
        self._reporter.message(f"validated after {updates:,} updates: {shown}{' (best so far)' if best else ''}")

    def _last_values(self) -> dict[str, float]:
        """Return the figures of the last weights; an end off the grid is validated too, and enters no state."""
        if self._state.validated:
            return self._state.validations[-1].values
        values = self._figures()
        if values is None:
            self._stop_here()
        self._report(values, best=False)
        return values

    def _ending(self) -> str | None:
        limit = self._settings.limits.reached(self._state, self._settings.selection)
        return "stop_min_lr" if limit is None and self._rate_too_small() else limit

    def _rate_too_small(self) -> bool:
        minimum, progress = self._settings.stop_min_lr, self._progress()
        if minimum is None or progress.updates == 0:
            return False
        lr = self._schedule(progress)
        # During the warm-up the rate is small too, and rises.
        return lr < minimum and self._schedule(replace(progress, updates=progress.updates + 1)) <= lr

    def _progress(self) -> Progress:
        state = self._state
        if len(self._judged) != len(state.validations):
            self._judged = self._settings.selection.judged(state.validations)
        return Progress(state.updates, state.epoch, self._settings.limits.max_updates, self._judged)

    def _expected_updates(self) -> int | None:
        """Return the number of updates at the end of the budget; epochs are taken to be as long as the first."""
        limits, state = self._settings.limits, self._state
        if limits.max_epochs is None:
            return limits.max_updates
        if self._updates_per_epoch is None:
            self._updates_per_epoch = self._loader.updates_in(state.epoch)
        remaining = (limits.max_epochs + 1 - state.epoch) * self._updates_per_epoch - state.position
        expected = state.updates + max(remaining, 0)
        return expected if limits.max_updates is None else min(expected, limits.max_updates)

    def _save_time_reached(self) -> bool:
        every = self._settings.checkpoint_every
        passed = time.monotonic() - self._saved_at
        # The clock of rank 0 decides for all.
        return self._parallel.main and every.unit == "minute" and passed >= 60 * every.count

    def _save_due(self) -> bool:
        every, updates = self._settings.checkpoint_every, self._state.updates
        on_grid = every.unit == "update" and updates % every.count == 0
        return (self._save_wanted or on_grid) and self._saved_updates != updates

    def _save(self) -> None:
        began = time.monotonic()
        tensors, rest = optimizer_state(self._optimizer, self._parameters)
        resumable = Resumable(self._state, module_weights(self._module), tensors, rest)
        complete = not self._validation_due()
        self._parallel.on_main(lambda: self._checkpoints.save(resumable, complete=complete))
        self._saved_updates, self._saved_at, self._save_wanted = self._state.updates, time.monotonic(), False
        self._log.pause(time.monotonic() - began)

    def _stop_here(self) -> NoReturn:
        if self._saved_updates != self._state.updates:
            self._save()
        raise StoppedRunError(
            "SF643",
            f"stopped by SIGTERM after {self._state.updates:,} updates; the state is saved",
            help="the same command goes on from there",
        )

    def _resume(self) -> None:
        name = self._parallel.on_main(self._newest_checkpoint)
        if not isinstance(name, str):
            return
        path = Path(name)
        saved = self._checkpoints.read(path)
        load_weights(self._module, saved.weights, path)
        load_optimizer_state(self._optimizer, self._parameters, saved.optimizer, saved.optimizer_rest, path)
        before = saved.state.environment
        self._state = saved.state
        self._state.environment = dict(self._settings.environment)
        self._saved_updates = saved.state.updates
        self._reporter.message(f"training goes on after {saved.state.updates:,} updates")
        changed = sorted(key for key, value in self._settings.environment.items() if before.get(key) != value)
        if changed:
            self._reporter.warning(f"other {', '.join(changed)} than before: results may differ in the last bits")

    def _newest_checkpoint(self) -> str | None:
        self._checkpoints.prepare()
        limits, selection = self._settings.limits, self._settings.selection
        path = self._checkpoints.newest(lambda state: not limits.exceeded(state, selection))
        return None if path is None else str(path)
