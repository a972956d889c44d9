"""Estimates for people: what a plan comes to, in a few lines below its steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from specforge.cli.views.output import columns

if TYPE_CHECKING:
    from specforge.language.spec import Spec
    from specforge.planning.estimates import Estimates, Spread
    from specforge.planning.plan import Plan
    from specforge.storage.store import Store

_MIB: Final = 2**20
_GIB: Final = 2**30
_OPERATIONS: Final = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_COUNTS: Final = ((1e9, "B"), (1e6, "M"), (1e3, "k"))
_PARTS: Final = 6  # of a model, that fit on a line


def estimated(spec: Spec, plan: Plan, store: Store) -> Estimates:
    """Ask a worker what a plan comes to; errors as `specforge.execution.questions.estimate.estimate`."""
    from specforge.execution.questions.estimate import (
        estimate,  # starts processes, which not every platform does our way
    )
    from specforge.execution.signals import stop_requests

    with stop_requests() as stop:
        return estimate(spec, plan, store, stop)


def estimate_lines(found: Estimates, devices: int) -> list[str]:
    """Return estimates as lines.

    Args:
        found: the estimates.
        devices: `run.devices`.
    """
    rows = [
        ("model", _model(found)),
        *(("batch", words) for words in _batch(found, devices)),
        *(("memory", words) for words in _memory(found, devices)),
        *(("training", words) for words in _training(found)),
        *(("work", words) for words in _work(found)),
        *(("note", note) for note in found.notes),
    ]
    return columns(rows)


def _model(found: Estimates) -> str:
    mark = _mark(found, "parameters")
    shown = list(found.by_part.items())[:_PARTS]
    rest = len(found.by_part) - len(shown)
    parts = [f"{name} {_scaled(count, _COUNTS).strip()}" for name, count in shown] + ([f"{rest} more"] if rest else [])
    trained = "" if found.trainable == found.parameters else f", {found.trainable:,} of them trained"
    vocabulary = " and ".join(f"{size:,}" for size in dict.fromkeys(found.vocabulary.values()))
    types = f"; vocabulary {mark}{vocabulary}" if vocabulary else ""
    return f"{mark}{found.parameters:,} parameters{trained}: {', '.join(parts)}{types}"


def _batch(found: Estimates, devices: int) -> Iterator[str]:
    tokens, items, pieces = found.target_tokens_per_update, found.items_per_update, found.micro_batches_per_update
    if tokens is None or items is None or pieces is None or found.padding is None:
        return
    mark = _mark(found, "items_per_update")
    cut = f"{mark}{_spread(pieces, 'micro-batch', 'micro-batches')}"
    shared = f" over {devices} devices" if devices > 1 else ""
    yield (
        f"{mark}{tokens.mean:,.0f} {found.unit} (at most {tokens.most:,}) and {mark}{items.mean:,.0f} items an update, "
        f"{cut}{shared}, {mark}{100 * found.padding:.1f} % padding"
    )


def _memory(found: Estimates, devices: int) -> Iterator[str]:
    memory = found.memory
    if memory is None:
        return
    mark = _mark(found, "memory")
    state, activations = _bytes(memory.state), _bytes(memory.activations)
    where = f"on each of {devices} devices ({memory.device})" if devices > 1 else f"on {memory.device}"
    yield f"{mark}{state} state + {mark}{activations} activations {where}, at the peak"


def _training(found: Estimates) -> Iterator[str]:
    if found.updates is None:
        return
    words = f"{_mark(found, 'updates')}{found.updates:,} updates"
    if found.updates_per_epoch:
        mark = _mark(found, "updates_per_epoch")
        epochs = found.updates / found.updates_per_epoch
        words += f", {mark}{epochs:,.1f} epochs of {mark}{found.updates_per_epoch:,.0f}"
    if 0 < found.updates_done < found.updates:
        words += f"; {found.updates_done:,} are done"
    yield f"{words}; {_time(found)}"


def _work(found: Estimates) -> Iterator[str]:
    if found.flop_per_update is not None and found.updates is not None:
        mark = _mark(found, "flop_per_update")
        total = found.flop_per_update * found.updates
        yield f"{mark}{_scaled(found.flop_per_update)}FLOP an update, {mark}{_scaled(total)}FLOP in all"


def _time(found: Estimates) -> str:
    from specforge.execution.progress import duration

    if found.seconds is None:
        return "no earlier training on this host says how long they take"
    if found.seconds == 0.0:
        return "all of them are done"
    left = " left" if found.updates_done else ""
    return f"≈{duration(found.seconds)}{left}, at the pace of earlier trainings on this host"


def _spread(spread: Spread, one: str, many: str) -> str:
    if spread.most == 1:
        return f"1 {one}"
    return f"{spread.mean:,.1f} {many} (at most {spread.most:,})"


def _mark(found: Estimates, name: str) -> str:
    return "≈" if name in found.approximate else ""


def _bytes(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"


def _scaled(value: float, scales: Sequence[tuple[float, str]] = _OPERATIONS) -> str:
    for scale, letter in scales:
        if value >= scale:
            return f"{value / scale:.3g} {letter}"
    return f"{value:.3g} "
