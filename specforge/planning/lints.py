"""Lints that need estimates: what is odd about a budget once the number of updates in an epoch is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.places import label_at
from specforge.language.spec import Spec, ValuePath
from specforge.planning.estimates import Estimates
from specforge.plugin import LRSchedulerConfig

_FAR_APART: Final = 10
_AIMED_AT: Final = 1.05  # how much earlier than its aim a schedule may end without a word
_MAX_UPDATES: Final = ("train", "max_updates")
_MAX_EPOCHS: Final = ("train", "max_epochs")


def lint_budget(spec: Spec, estimates: Estimates) -> tuple[Diagnostic, ...]:
    """Return the warnings about a spec's budget, without those that it allows.

    Args:
        spec: the spec.
        estimates: what its plan comes to.
    """
    allowed = spec.tree.get("allow")
    assert isinstance(allowed, list)
    return tuple(warning for warning in _found(spec, estimates) if warning.code not in allowed)


def _found(spec: Spec, estimates: Estimates) -> Iterator[Diagnostic]:
    if not estimates.updates_per_epoch:
        return
    updates, epochs = spec.train.max_updates, spec.train.max_epochs
    by_epochs = None if epochs is None else epochs * estimates.updates_per_epoch
    if updates is not None and by_epochs is not None:
        yield from _apart(spec, updates, by_epochs)
    if updates is not None and updates < estimates.updates_per_epoch:
        yield _warning(
            spec,
            f"training ends in its first epoch, which takes about {estimates.updates_per_epoch:,.0f} updates",
            (_MAX_UPDATES, "training ends here"),
            help_text="the rest of the data is never seen; raise `max_updates`, or give `max_epochs` instead",
        )


def _apart(spec: Spec, updates: int, by_epochs: float) -> Iterator[Diagnostic]:
    """Yield what is odd about two budgets: one that is never reached, or an aim that is."""
    scheduler = spec.parts["lr_scheduler",].config
    aims = isinstance(scheduler, LRSchedulerConfig) and not scheduler.horizon_free
    if updates > by_epochs * (_AIMED_AT if aims else _FAR_APART):
        note = "the learning rate is made for the whole of `max_updates`"
        yield _warning(
            spec,
            f"`max_updates` is never reached: `max_epochs` ends training at about update {by_epochs:,.0f}",
            (_MAX_UPDATES, "never reached"),
            (_MAX_EPOCHS, "training ends here"),
            notes=(note,) if aims else (),
            help_text=f"write `max_updates = {by_epochs:_.0f}`" if aims else "leave one of them out",
        )
    elif by_epochs > updates * _FAR_APART:
        epochs = spec.train.max_epochs
        yield _warning(
            spec,
            f"`max_epochs` is never reached: {epochs:,} epochs take about {by_epochs:,.0f} updates",
            (_MAX_EPOCHS, "never reached"),
            (_MAX_UPDATES, "training ends here"),
            help_text="leave one of them out",
        )


def _warning(
    spec: Spec, message: str, *labels: tuple[ValuePath, str], notes: tuple[str, ...] = (), help_text: str
) -> Diagnostic:
    found = (label_at(spec, path, text) for path, text in labels)
    placed = [replace(label, primary=nth == 0) for nth, label in enumerate(label for label in found if label)]
    return Diagnostic("SF416", message, tuple(placed), notes, help_text, severity="warning")
