"""What training does about an update whose loss or gradient is not finite: stop, leave it out, or go back.

All of it follows from the spec and the number of the update, so that a training that was interrupted does the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from specforge.foundation.errors import StepFailedError
from specforge.training.incidents import Incidents, figures_of, number, place_of
from specforge.training.loading import PreparedUpdate
from specforge.training.parallel.process import Parallel
from specforge.training.state import TrainingState
from specforge.training.tally import Failure
from specforge.training.updater import Updater


@dataclass(frozen=True, slots=True)
class NonFinitePolicy:
    """`train.non_finite`; with nothing given, training stops.

    Args:
        skip: how many updates may be left out in all.
        rollback: how many updates to go back at least; None: never.
        leave_out: updates of the plan that are left out from there on.
        at_most: how often to go back.
    """

    skip: int = 0
    rollback: int | None = None
    leave_out: int = 0
    at_most: int = 0

    def may_skip(self, state: TrainingState) -> bool:
        """Return whether one more update may be left out."""
        return len(state.skipped) < self.skip

    def may_go_back(self, state: TrainingState) -> bool:
        """Return whether training may go back once more."""
        return self.rollback is not None and len(state.rollbacks) < self.at_most

    def is_point(self, updates: int) -> bool:
        """Return whether training may have to go back to here, so that a checkpoint is needed.

        `train.checkpoint_every` may go by the clock and counts for no result: what is gone back to does not depend on it.
        """
        return self.rollback is not None and updates % self.rollback == 0

    def needs(self, saved: int, state: TrainingState) -> bool:
        """Return whether training may still have to go back to a checkpoint, from a state on.

        Args:
            saved: updates done in the checkpoint.
            state: how far training is.
        """
        return self.is_point(saved) and saved >= self.target(state)

    def target(self, state: TrainingState) -> int:
        """Return where to go back to from a state: the last point that lies far enough back, in updates done.

        It is never before the point that training went back to last: what came before that was left out for good reason.
        """
        assert self.rollback is not None
        last = state.rollbacks[-1].to if state.rollbacks else 0
        return max((state.updates // self.rollback - 1) * self.rollback, last)


def not_finite(failure: Failure) -> str:
    """Return what is wrong with an update in words."""
    return f"update {failure.update:,} has a loss of {failure.loss} and a gradient norm of {failure.gradient_norm}"


def examined(
    failure: Failure,
    prepared: PreparedUpdate,
    updater: Updater,
    parallel: Parallel,
    incidents: Incidents,
    rollbacks: int,
) -> tuple[str, ...]:
    """Find out which micro-batches are to blame, write them down, and return what was found as sentences.

    The micro-batches are computed once more, each by itself, from the weights and random numbers that they had: in an update
    the gradients are summed at once.

    Args:
        failure: the update that is not finite.
        prepared: what it is made of; the weights are as they were before it.
        updater: computes it.
        parallel: this process among all; all of them do this together.
        incidents: where it is written down.
        rollbacks: how often training went back before.
    """
    scale = 1.0 if updater.loss_scale is None else float(updater.loss_scale.scale)
    mine: list[JsonValue] = []
    for piece, loss, parameters in updater.gradients_of(prepared.pieces, failure.update - 1):
        figures = figures_of(piece, loss, parameters, scale)
        if piece.counts:
            mine.append({"rank": parallel.rank, **figures, "items": incidents.items(piece)})
    found = [one for part in parallel.gather(mine) if isinstance(part, list) for one in part]
    facts: dict[str, JsonValue] = {
        **place_of(prepared),
        "loss": number(failure.loss),
        "gradient_norm": number(failure.gradient_norm),
        "micro_batches": found,
    }

    def write() -> JsonValue:
        try:
            return f"what it is made of is in `{incidents.write('non-finite', failure.update, facts, rollbacks)}`"
        except OSError as error:
            return f"what it is made of could not be written down: {error}"

    written = parallel.on_main(write)
    return (*_blamed(found), str(written))


def _blamed(found: Iterable[JsonValue]) -> tuple[str, ...]:
    """Return a sentence about each of the first micro-batches that are not finite by themselves."""
    everything = [one for one in found if isinstance(one, dict)]
    wrong = [one for one in everything if _is_wrong(one)]
    if not wrong:
        return (
            "computed once more each micro-batch is finite: their sum overflowed, or it cannot be computed alike twice",
        )
    if len(wrong) == len(everything) > 1:
        about_all = f"none of its {len(wrong)} micro-batches is finite: weights and learning rate are to blame, not single items"
        return (_sentence(wrong[0]), about_all)
    sentences = [_sentence(one) for one in wrong[:2]]
    if len(wrong) > len(sentences):
        sentences.append(f"{len(wrong) - len(sentences)} further micro-batches are not finite")
    return tuple(sentences)


def _is_wrong(one: Mapping[str, JsonValue]) -> bool:
    return isinstance(one["loss"], str) or isinstance(one["gradient_norm"], str)


def _sentence(one: Mapping[str, JsonValue]) -> str:
    items, parameters = one["items"], one["parameters"]
    assert isinstance(items, list)
    assert isinstance(parameters, list)
    what = f"micro-batch {one['micro_batch']} (rank {one['rank']}, {len(items)} items) has a loss of {one['loss']}"
    if not parameters:
        return f"{what} and a gradient norm of {one['gradient_norm']}"
    many = "1 parameter has" if len(parameters) == 1 else f"{one['parameters_not_finite']} parameters have"
    return f"{what}; {many} a gradient that is not finite, the first is `{parameters[0]}`"


def stopped(failure: Failure, state: TrainingState, policy: NonFinitePolicy, notes: tuple[str, ...]) -> StepFailedError:
    """Return the error that ends training, after what the policy allows is used up."""
    if policy.rollback is not None and not policy.may_go_back(state):
        notes = (*notes, f"training went back {len(state.rollbacks)} times, as often as `train.non_finite` allows")
    elif policy.skip:
        notes = (*notes, f"{len(state.skipped)} updates were left out before, as many as `train.non_finite` allows")
    advice = "lower `optimizer.lr`, lengthen the warm-up or set `train.clip_norm`"
    if policy == NonFinitePolicy():
        advice += "; `train.non_finite = { skip = 10 }` leaves single updates out"
    return StepFailedError("SF633", f"{not_finite(failure)}; the weights before it are kept", notes=notes, help=advice)


def scale_exhausted(failure: Failure, notes: tuple[str, ...]) -> StepFailedError:
    """Return the error for gradients that overflow in fp16 however small the losses are made."""
    return StepFailedError(
        "SF675",
        f"the gradient of update {failure.update:,} overflows in fp16 at the smallest loss scale",
        notes=notes,
        help='train with `train.precision = "bf16"` or `"fp32"`, lower `optimizer.lr` or set `train.clip_norm`',
    )
