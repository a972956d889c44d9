"""The training log: figures of the updates since the last line, and progress for people.

Losses are in bits per target, as fairseq prints them: `loss` is what is minimised, `nll` the loss without smoothing, and
`ppl = 2 ** nll`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp2, log
from types import MappingProxyType
from typing import Final

from specforge.foundation.events import Reporter, Scalar
from specforge.training.divergence import Divergence
from specforge.training.loading import PreparedUpdate
from specforge.training.tally import Reading

_LARGEST_EXPONENT: Final = 1_000.0
_SECONDS_BETWEEN_PROGRESS: Final = 0.25


@dataclass(frozen=True, slots=True)
class UpdateFigures:
    """What some updates in a row did, over all processes.

    Args:
        epoch: epoch of the last.
        lr: learning rate of the last.
        updates: how many were applied; with none, the sums are nothing.
        loss: summed loss, in nats.
        nll: summed negative log-likelihood, in nats.
        count: targets summed over.
        tokens: what was trained on, in the task's cost (target tokens).
        real: tokens of all columns.
        padded: the same, padding counted.
        gradient_norm: sum of the norms of their mean gradients, before clipping.
        waited: seconds that this process waited for data.
    """

    epoch: int
    lr: float
    updates: int = 0
    loss: float = 0.0
    nll: float = 0.0
    count: int = 0
    tokens: int = 0
    real: int = 0
    padded: int = 0
    gradient_norm: float = 0.0
    waited: float = 0.0


def update_figures(sent: Sequence[PreparedUpdate], lr: float, reading: Reading) -> UpdateFigures:
    """Return what some updates did.

    Args:
        sent: the updates, in order.
        lr: learning rate of the last.
        reading: what they came to.
    """
    return UpdateFigures(
        updates=reading.applied,
        epoch=sent[-1].update.epoch,
        loss=reading.loss,
        nll=reading.nll,
        count=reading.count,
        tokens=sum(one.tokens for one in sent),
        real=sum(one.real for one in sent),
        padded=sum(one.padded for one in sent),
        gradient_norm=reading.gradient_norm,
        lr=lr,
        waited=sum(one.waited for one in sent),
    )


def in_bits(nats: float, count: float) -> float:
    """Return a sum in nats as a mean in bits."""
    return nats / count / log(2)


def perplexity(bits: float) -> float:
    """Return the perplexity of a mean negative log-likelihood in bits; JSON has no infinity, so it ends at 2^1000."""
    return exp2(min(bits, _LARGEST_EXPONENT))


@dataclass(slots=True)
class _Window:
    """Sums over the updates since the last line."""

    began: float
    updates: int = 0
    loss: float = 0.0
    nll: float = 0.0
    count: int = 0
    tokens: int = 0
    real: int = 0
    padded: int = 0
    gradient_norm: float = 0.0
    waited: float = 0.0

    def add(self, figures: UpdateFigures) -> None:
        self.updates += figures.updates
        self.loss += figures.loss
        self.nll += figures.nll
        self.count += figures.count
        self.tokens += figures.tokens
        self.real += figures.real
        self.padded += figures.padded
        self.gradient_norm += figures.gradient_norm
        self.waited += figures.waited


class TrainingLog:
    """Reports what training does.

    Args:
        reporter: where it goes.
        every: updates between two records (`run.log_every`).
    """

    def __init__(self, reporter: Reporter, every: int) -> None:
        self._reporter = reporter
        self._every = every
        self._window = _Window(time.monotonic())
        self._shown = 0.0
        self._divergence = Divergence()

    def pause(self, seconds: float) -> None:
        """Leave out time that was spent on something else than updates (validation, saving)."""
        self._window.began += seconds

    def due(self, updates: int) -> bool:
        """Return whether a record comes after so many updates."""
        return updates % self._every == 0

    def update(
        self,
        figures: UpdateFigures,
        updates: int,
        total: int | None,
        seconds: float,
        validated: Mapping[str, float] = MappingProxyType({}),
        **further: Scalar,
    ) -> None:
        """Take note of some updates.

        Args:
            figures: what they did.
            updates: updates done, these counted.
            total: updates in all, as far as is known.
            seconds: training time over all attempts.
            validated: what people want to see of the last validation.
            further: figures that the record has beside its own.
        """
        self._window.add(figures)
        if not self._window.count:  # all were left out: there is no mean, the next line says more
            return
        now = time.monotonic()
        due = self.due(updates)
        if due:
            self._record(figures, updates, now, {"seconds": seconds, **further})
        if now - self._shown >= _SECONDS_BETWEEN_PROGRESS or updates == total:
            self._shown = now
            self._progress(figures, updates, total, now, {f"valid {name}": each for name, each in validated.items()})
        if due:
            self._window = _Window(time.monotonic())

    def _record(self, last: UpdateFigures, updates: int, now: float, further: Mapping[str, Scalar]) -> None:
        window = self._window
        elapsed = now - window.began
        loss, nll = in_bits(window.loss, window.count), in_bits(window.nll, window.count)
        self._reporter.record(
            "train",
            updates=updates,
            epoch=last.epoch,
            loss=loss,
            nll=nll,
            ppl=perplexity(nll),
            lr=last.lr,
            gradient_norm=window.gradient_norm / window.updates,
            tokens_per_update=window.tokens / window.updates,
            tokens_per_second=window.tokens / elapsed,
            padding_percent=100 * (1 - window.real / window.padded),
            data_wait_percent=100 * window.waited / elapsed,
            **further,
        )
        warning = self._divergence.warning(loss, updates, window.updates)
        if warning is not None:
            self._reporter.warning(warning)

    def _progress(
        self, last: UpdateFigures, updates: int, total: int | None, now: float, validated: Mapping[str, float]
    ) -> None:
        window = self._window
        self._reporter.progress(
            updates,
            total,
            "updates",
            loss=round(in_bits(window.loss, window.count), 3),
            ppl=round(perplexity(in_bits(window.nll, window.count)), 2),
            tokens_per_second=round(window.tokens / (now - window.began)),
            **validated,
            epoch=last.epoch,
            lr=last.lr,
            gradient_norm=round(window.gradient_norm / window.updates, 3),
        )
