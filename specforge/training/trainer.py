"""The trainer: from the first update to the last, exactly as if nothing had ever interrupted it.

It reads top to bottom: `train` resumes, then validates, saves and updates in turn until a limit is reached. What an update
is made of, in which order, and every random number follow from the seed and the number of the update; beside that there are
weights, optimizer and a handful of numbers (`TrainingState`), and those are what a checkpoint holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import NoReturn

from torch.optim import Optimizer

from specforge.foundation.errors import StoppedRunError
from specforge.foundation.events import Reporter, Scalar
from specforge.plugin import Progress, Schedule, Validated
from specforge.training.checkpoints import Checkpoints
from specforge.training.ema import Ema
from specforge.training.incidents import Incidents, number, out_of_memory
from specforge.training.loading import PreparedUpdate, UpdateLoader
from specforge.training.log import TrainingLog, UpdateFigures, update_figures
from specforge.training.memory_probe import is_out_of_memory
from specforge.training.non_finite import examined, not_finite, scale_exhausted, stopped
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.profiling import Profiler
from specforge.training.saving import Saving
from specforge.training.settings import Outcome, TrainerSettings
from specforge.training.state import Rollback, TrainingState, Validation
from specforge.training.stopping import StopRequest
from specforge.training.tally import Failure, reading_is_free
from specforge.training.updater import Updater
from specforge.training.validation import Validator
from specforge.training.wishes import Wishes


class Trainer:
    """Trains a module.

    Args:
        strategy: how the processes hold model and criterion, which have their first weights.
        optimizer: built for `strategy.trainable()`.
        schedule: the learning rate of each update.
        loader: the updates.
        validator: validates the module.
        checkpoints: of this trajectory.
        incidents: where updates that went wrong are written down.
        parallel: this process among those that train.
        settings: how training goes.
        reporter: hears what happens.
        stop: whether somebody asks for a stop.
        profiler: watches some updates.
    """

    def __init__(
        self,
        strategy: Strategy,
        optimizer: Optimizer,
        schedule: Schedule,
        loader: UpdateLoader,
        validator: Validator,
        checkpoints: Checkpoints,
        incidents: Incidents,
        parallel: Parallel,
        settings: TrainerSettings,
        reporter: Reporter,
        stop: StopRequest,
        profiler: Profiler,
    ) -> None:
        self._strategy = strategy
        self._module = strategy.module
        self._ema = None if settings.ema_decay is None else Ema(strategy.trainable(), settings.ema_decay)
        self._updater = Updater(
            strategy,
            optimizer,
            parallel,
            seed=settings.seed,
            clip_norm=settings.clip_norm,
            precision=settings.precision,
            ema=self._ema,
        )
        self._saving = Saving(
            strategy,
            optimizer,
            self._ema,
            self._updater.loss_scale,
            checkpoints,
            parallel,
            settings.checkpoint_every,
            settings.non_finite.is_point,
            reporter,
        )
        self._schedule = schedule
        self._loader = loader
        self._validator = validator
        self._incidents = incidents
        self._parallel = parallel
        self._settings = settings
        self._reporter = reporter
        self._stop = stop
        self._profiler = profiler
        self._log = TrainingLog(reporter, settings.log_every)
        self._lr = 0.0  # of the last update
        self._state = TrainingState(environment=dict(settings.environment))
        self._judged: tuple[Validated, ...] = ()  # follows the state's validations, which only grow
        self._updates_per_epoch: int | None = None
        self._wishes = Wishes(parallel, later=not reading_is_free(parallel.device))
        self._sent: list[PreparedUpdate] = []  # to the device, and not yet read what came of them
        self._stop_wanted = False
        self._save_wanted = False

    def train(self) -> Outcome:
        """Train until a limit is reached, from the newest checkpoint on if there is one.

        Raises:
            StoppedRunError: SF643, SIGTERM came; the state is saved.
            StepFailedError: SF633, a loss, gradient or weight is not finite.
            EnvironmentFaultError: SF679, a micro-batch does not fit into memory.
            CorruptStateError: SF615, there are checkpoints and all are damaged.
        """
        with self._saving:
            self._resume()
            ending = None
            while ending is None:
                with closing(self._loader.updates(self._state.epoch, self._state.position)) as updates:
                    ending = self._run(updates)
            self._wishes.close()
            self._save_rest()
            return Outcome(self._state, ending, self._last_values())

    @contextmanager
    def published_weights(self) -> Iterator[None]:
        """Return a context in which the module has the weights that are validated and published."""
        if self._ema is None:
            yield
            return
        try:
            with self._ema.in_place():
                self._strategy.forget_weights()
                yield
        finally:
            self._strategy.forget_weights()

    def _run(self, updates: Iterator[PreparedUpdate]) -> str | None:
        """Train until a limit is reached, and return its name, or None when training goes on elsewhere in the plan."""
        while True:
            if self._reading_due() and not self._read():
                return None
            if self._stop_wanted:
                self._stop_here()
            if self._validation_due():
                self._validate()
            ending = self._ending()
            if ending is not None:
                return ending
            if self._saving.due(self._state, wanted=self._save_wanted):
                self._save()
            self._update(next(updates))

    def _update(self, prepared: PreparedUpdate) -> None:
        began = time.monotonic()
        wishes = [self._stop.made, self._saving.time_reached(), self._saving.failed]
        self._stop_wanted, self._save_wanted, failed = self._wishes.exchange(wishes)
        if failed:
            self._saving.wait()  # which raises why
        self._lr = self._schedule(self._progress())
        try:
            with self._profiler.update(self._state.updates + 1):
                self._updater.apply(prepared.pieces, self._lr, self._state.updates)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(prepared, self._state.updates + 1, self._updater.at_work, self._incidents) from error
        self._parallel.heart.update_done()
        self._sent.append(prepared)
        self._advance(prepared)
        self._state.tokens += prepared.tokens
        self._state.seconds += time.monotonic() - began + prepared.waited

    def _advance(self, prepared: PreparedUpdate) -> None:
        state, update = self._state, prepared.update
        state.updates += 1
        state.epoch, state.position = (update.epoch + 1, 0) if update.last else (update.epoch, update.position + 1)

    def _reading_due(self) -> bool:
        """Return whether to look at what the updates came to."""
        if not self._sent:
            return False
        if reading_is_free(self._parallel.device) or self._log.due(self._state.updates) or self._stop_wanted:
            return True
        due = self._saving.due(self._state, wanted=self._save_wanted)
        return due or self._validation_due() or self._ending() is not None

    def _read(self) -> bool:
        """Look at what the updates came to, and return whether training goes on where it is."""
        began = time.monotonic()
        reading = self._updater.read()
        self._state.seconds += time.monotonic() - began
        sent, self._sent = self._sent, []
        failure = reading.failure
        failed = len(sent) if failure is None else failure.update - 1 - (self._state.updates - len(sent))
        self._go_back_over(sent[failed:])
        if self._updater.loss_scale is not None:
            self._state.loss_scale = self._updater.loss_scale.state()
        if failed:
            self._log_updates(update_figures(sent[:failed], self._lr, reading))
        if failure is not None:
            self._settle(failure)
        return failure is None

    def _log_updates(self, figures: UpdateFigures) -> None:
        state = self._state
        further: dict[str, Scalar] = {"skipped": len(state.skipped)}
        if state.loss_scale is not None:
            further |= {"loss_scale": state.loss_scale.scale, "overflows": state.loss_scale.overflows}
        metric = self._settings.selection.metric
        validated = {metric: state.validations[-1].values[metric]} if state.validations else {}
        self._log.update(figures, state.updates, self._expected_updates(), state.seconds, validated, **further)

    def _go_back_over(self, updates: Sequence[PreparedUpdate]) -> None:
        """Take back the count of updates that the device did not apply."""
        if updates:
            self._state.updates -= len(updates)
            self._state.tokens -= sum(prepared.tokens for prepared in updates)
            self._state.epoch, self._state.position = updates[0].update.epoch, updates[0].update.position

    def _settle(self, failure: Failure) -> None:
        """Do about an update that is not finite what `train.non_finite` says.

        Raises:
            StepFailedError: SF633 where training ends with it; SF675, fp16 does not do.
        """
        state, policy = self._state, self._settings.non_finite
        with closing(self._loader.updates(state.epoch, state.position)) as updates:
            prepared = next(updates)
        notes = examined(failure, prepared, self._updater, self._parallel, self._incidents, len(state.rollbacks))
        if self._updater.loss_scale is not None and isfinite(failure.loss):
            raise scale_exhausted(failure, notes)
        if policy.may_skip(state):
            state.skipped.append(failure.update)
            self._advance(prepared)
            self._log_updates(UpdateFigures(epoch=prepared.update.epoch, lr=self._lr))
            self._report_failure(failure, notes, f"it is left out, {len(state.skipped):,} of at most {policy.skip:,}")
        elif policy.may_go_back(state):
            self._go_back(failure, notes)
        else:
            raise stopped(failure, state, policy, notes)

    def _go_back(self, failure: Failure, notes: Sequence[str]) -> None:
        policy, rollbacks = self._settings.non_finite, self._state.rollbacks
        to, in_epoch = policy.target(self._state), self._state.epoch
        path = self._saving.newest(lambda saved: saved.updates == to)
        if path is None:
            raise stopped(
                failure, self._state, policy, (*notes, f"there is no checkpoint of update {to:,} to go back to")
            )
        seconds = self._state.seconds
        self._restore(path)
        state = self._state
        place = Rollback(
            update=failure.update,
            in_epoch=in_epoch,
            to=to,
            epoch=state.epoch,
            position=state.position,
            left_out=policy.leave_out,
        )
        state.rollbacks = [*rollbacks, place]
        state.epoch, state.position = self._loader.place_after(state.epoch, state.position, policy.leave_out)
        state.seconds = seconds
        self._report_failure(
            failure,
            notes,
            f"training goes back to update {to:,} and leaves out {policy.leave_out:,} updates of the plan, "
            f"{len(state.rollbacks)} of at most {policy.at_most} times",
        )
        # Or a training that is stopped now would come to the same failure once more.
        self._save()

    def _report_failure(self, failure: Failure, notes: Sequence[str], done: str) -> None:
        self._reporter.record(
            "non_finite", update=failure.update, loss=number(failure.loss), gradient_norm=number(failure.gradient_norm)
        )
        self._reporter.warning("; ".join([not_finite(failure), done, *notes]))

    def _validation_due(self) -> bool:
        return self._settings.validate_every.reached(self._state) and not self._state.validated

    def _validate(self) -> None:
        state = self._state
        with self.published_weights():
            values = self._figures()
            began = time.monotonic()
            weights = None if values is None else self._strategy.whole_weights(self._module.model)
            name = None if weights is None else self._saving.snapshot(state.updates, weights)
        if values is None or name is None:
            self._stop_here()
        validation = Validation(updates=state.updates, epoch=state.last_epoch, values=values, snapshot=name)
        state.validations.append(validation)
        self._saving.prune(state)
        self._log.pause(time.monotonic() - began)
        best = self._settings.selection.best(state.validations)
        self._report(values, best=best is validation)

    def _figures(self) -> dict[str, float] | None:
        """Validate the present weights; None when asked to stop."""
        began = time.monotonic()
        # Or a model with a schedule would be validated otherwise after a resume than before.
        self._module.set_num_updates(self._state.updates)
        values = self._validator.validate(self._strategy, lambda: self._stop.made)
        self._state.seconds += time.monotonic() - began
        self._log.pause(time.monotonic() - began)
        return values

    def _report(self, values: Mapping[str, float], *, best: bool) -> None:
        updates, epoch = self._state.updates, self._state.last_epoch
        self._reporter.record("valid", updates=updates, epoch=epoch, best=best, **values)
        shown = ", ".join(f"{name} {value:.2f}" for name, value in values.items() if name != "nll")
        settings, validations = self._settings, self._state.validations
        standing = "best so far" if best else settings.limits.standing(validations, settings.selection)
        self._reporter.message(f"validated after {updates:,} updates: {shown}{f' ({standing})' if standing else ''}")

    def _last_values(self) -> dict[str, float]:
        """Return the figures of the last weights; an end off the grid is validated too, and enters no state."""
        if self._state.validated:
            return self._state.validations[-1].values
        with self.published_weights():
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
        limits = self._settings.limits
        if self._updates_per_epoch is None and limits.max_epochs is not None:
            self._updates_per_epoch = self._loader.updates_in(self._state.epoch)
        return limits.expected(self._state, self._updates_per_epoch or 0)

    def _save(self) -> None:
        began = time.monotonic()
        self._saving.save(self._state, complete=not self._validation_due())
        self._save_wanted = False
        self._log.pause(time.monotonic() - began)

    def _save_rest(self) -> None:
        """Save what is not saved yet, and wait until it is on disk."""
        if not self._saving.has_saved(self._state):
            self._save()
        self._saving.wait()

    def _stop_here(self) -> NoReturn:
        self._save_rest()
        raise StoppedRunError(
            "SF643",
            f"stopped on request after {self._state.updates:,} updates; the state is saved",
            help="the same command goes on from there",
        )

    def _resume(self) -> None:
        limits, selection = self._settings.limits, self._settings.selection
        path = self._saving.newest(lambda state: not limits.exceeded(state, selection), first=True)
        if path is None:
            return
        before = self._restore(path)
        self._reporter.message(f"training goes on after {self._state.updates:,} updates")
        warning = self._settings.other_than(before)
        if warning is not None:
            self._reporter.warning(warning)

    def _restore(self, path: Path) -> Mapping[str, str | int]:
        """Take up what a checkpoint holds, and return the environment that it was made in."""
        self._state, self._judged = self._saving.restore(path), ()
        before, self._state.environment = self._state.environment, dict(self._settings.environment)
        return before
