"""The explanation of a step: what `run` will do with it, why, and how an earlier result could be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge.language.spec import Spec
from specforge.planning.explanation.nearest import Comparison, Difference, Made, Nearest, grown, made_by
from specforge.planning.plan import Plan, State, Step
from specforge.planning.world import Results
from specforge.plugin import LRSchedulerConfig

Obstacle: TypeAlias = Literal["schedule", "no checkpoint", "beyond the budget"]

_TRAIN: Final = "train"


@dataclass(frozen=True, slots=True)
class Going:
    """Whether a training goes on where an earlier one stopped.

    Args:
        grown: names of the fields of [train] that may grow and differ from the earlier result.
        updates, epoch: of the checkpoint that it goes on from; None where it does not.
        obstacle: why it does not: its scheduler's rates depend on the budget; no checkpoint is left; or all of them lie
            beyond the budget.
        scheduler: `distribution/name@version` of the lr_scheduler.
        first: updates of the earliest checkpoint that is left, where all lie beyond the budget.
    """

    grown: tuple[str, ...]
    updates: int | None
    epoch: int | None
    obstacle: Obstacle | None
    scheduler: str
    first: int | None = None


@dataclass(frozen=True, slots=True)
class StepExplanation:
    """The explanation of one step.

    Args:
        step: the step with its state and reason.
        made: how the result came about that it reuses.
        differences: where that result has another key and is equal all the same: what gave it another key.
        stale: how a result with the step's own key came about that does not do, because a step above came out otherwise.
        remade: ids of the steps above that were made after it.
        nearest: where no result does, the earlier one with the fewest differences.
        results: how many results of its kind there are.
        going: for a training whose budget alone differs, or that has begun.
    """

    step: Step
    made: Made | None
    differences: tuple[Difference, ...]
    stale: Made | None
    remade: tuple[str, ...]
    nearest: Nearest | None
    results: int
    going: Going | None


def explain_step(step: Step, spec: Spec, plan: Plan, results: Results) -> StepExplanation:
    """Explain a step.

    Args:
        step: of the plan.
        spec: the spec that the plan was made from.
        plan: the plan, with states.
        results: the results that are there.
    """
    comparison = Comparison(spec, plan, results)
    found = comparison.found.get(step.id)
    count = sum(1 for _ in results.manifests(step.kind))
    if found is not None:
        made = made_by(found.key, found.manifest)
        apart = _apart(step, made, comparison, results)
        return StepExplanation(step, made, apart, None, (), None, count, None)
    own = results.manifest(step.kind, step.key)
    stale = None if own is None else made_by(step.key, own)
    nearest = comparison.nearest(step) if stale is None else None
    going = _going(step, spec, nearest, results) if step.kind == _TRAIN and stale is None else None
    return StepExplanation(step, None, (), stale, _remade(step, stale, comparison), nearest, count, going)


def _apart(step: Step, made: Made, comparison: Comparison, results: Results) -> tuple[Difference, ...]:
    """Return what gave an equal result another key: the one that is reused, or the one that it took the files of."""
    key = made.key if made.key != step.key else made.same_as
    manifest = None if key is None else results.manifest(step.kind, key)
    return () if key is None or manifest is None else comparison.differences(step, key, manifest)


def _remade(step: Step, stale: Made | None, comparison: Comparison) -> tuple[str, ...]:
    """Return the steps above whose results are younger than the step's own."""
    if stale is None or stale.at is None:
        return ()
    above = {need: made_by("", comparison.found[need].manifest).at for need in step.needs if need in comparison.found}
    return tuple(need for need, at in above.items() if at is not None and at > stale.at)


def _going(step: Step, spec: Spec, nearest: Nearest | None, results: Results) -> Going | None:
    """Return whether a training goes on; None where nothing suggests that it might."""
    assert step.trajectory is not None
    part = spec.parts["lr_scheduler",]
    scheduler = part.registered.identity
    names = () if nearest is None else grown(nearest.differences, spec)
    checkpoints = list(results.checkpoints(step.trajectory))
    if step.state is State.RESUME:
        within = [one for one in checkpoints if _is_within(one, step)]
        last = within[-1]
        return Going(names, _number(last.get("updates")), _number(last.get("epoch")), None, scheduler)
    if not names:
        return None
    if isinstance(part.config, LRSchedulerConfig) and not part.config.horizon_free:
        return Going(names, None, None, "schedule", scheduler)
    first = _number(checkpoints[0].get("updates")) if checkpoints else None
    return Going(names, None, None, "beyond the budget" if checkpoints else "no checkpoint", scheduler, first)


def _is_within(checkpoint: Mapping[str, JsonValue], step: Step) -> bool:
    budget = step.config[_TRAIN]
    assert isinstance(budget, dict)
    limits = (checkpoint.get("updates"), budget.get("max_updates")), (checkpoint.get("epoch"), budget.get("max_epochs"))
    return all(
        isinstance(reached, int) and (not isinstance(limit, int) or reached <= limit) for reached, limit in limits
    )


def _number(value: JsonValue) -> int | None:
    return value if isinstance(value, int) else None
