"""What a plan comes to, asked of a worker: it builds the model without memory for its weights, and rehearses an update.

Nothing is written: what the worker finds comes back through its pipe, so that a plan may be made for a store that can only
be read. What data alone decide comes from the results of the tokenizer and preprocess steps where they are there, else from
a sample of the corpora.
"""

from __future__ import annotations

from specforge.execution.job import Job
from specforge.execution.jobs import step_corpora
from specforge.execution.questions.answers import answer
from specforge.execution.questions.pace import expected_seconds
from specforge.execution.signals import StopRequest
from specforge.execution.workers import available_threads
from specforge.foundation.errors import SpecforgeError
from specforge.language.spec import Spec
from specforge.planning.estimates import Estimates
from specforge.planning.keys import outputs_digest
from specforge.planning.plan import Plan
from specforge.planning.states import find_result
from specforge.storage.store import Store


def estimate(spec: Spec, plan: Plan, store: Store, stop: StopRequest) -> Estimates:
    """Return what a plan comes to.

    Args:
        spec: the spec that the plan was made from.
        plan: the plan.
        store: where the results of its steps are, as far as they are there.
        stop: requests to stop.

    Raises:
        SpecError: SF402, the model cannot be built, or does not compute, with these shapes.
        SpecforgeError: the data cannot be read, a plugin failed, or the worker died.
    """
    try:
        found = Estimates.model_validate_json(answer(_job(spec, plan, store), stop))
    except SpecforgeError as error:
        raise _located(error, spec) from error
    return expected_seconds(found, plan.step("train"), store)


def _job(spec: Spec, plan: Plan, store: Store) -> Job:
    preprocess, train = plan.step("preprocess"), plan.step("train")
    settings = {**train.settings, "preprocess": preprocess.settings["preprocess"]}
    return Job(
        id="estimate",
        kind="estimate",
        settings=settings,
        corpora=[corpus for corpus in step_corpora(spec, preprocess) if corpus.role != "valid"],
        needs=_results(plan, store),
        threads=available_threads(1),
    )


def _results(plan: Plan, store: Store) -> dict[str, str]:
    """Return the folders of the results of tokenizer and preprocess, as far as they are there."""
    folders: dict[str, str] = {}
    outputs: dict[str, str | None] = {}
    for step in plan.steps:
        if step.kind in {"tokenizer", "preprocess"}:
            found = find_result(step, outputs, store)
            outputs[step.id] = None if found is None else outputs_digest(found.manifest)
            if found is not None:
                folders[step.kind] = str(store.result(step.kind, found.key))
    return folders


def _located(error: SpecforgeError, spec: Spec) -> SpecforgeError:
    """Return an error that stands at the line of the spec it is about."""
    if error.code != "SF402":
        help_text = "`plan --no-estimates` does without the worker" if error.code == "SF632" else error.help
        return type(error)(error.code, error.message, place=error.place, notes=error.notes, help=help_text)
    from specforge.language.messages.diagnostics import Diagnostic, SpecError  # only where something is wrong
    from specforge.language.places import label_at

    label = label_at(spec, ("model", "use"))
    labels = () if label is None else (label,)
    return SpecError([Diagnostic(error.code, error.message, labels, error.notes, error.help)])
