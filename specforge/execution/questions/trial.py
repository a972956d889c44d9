"""One part of an experiment tried alone, by a worker, in a folder that is gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.execution.jobs import step_corpora
from specforge.execution.questions.answers import without_log
from specforge.execution.questions.trial_results import Trial
from specforge.execution.signals import StopRequest
from specforge.execution.workers import Launch, available_threads, run_workers
from specforge.foundation import durable
from specforge.foundation.errors import SpecforgeError, StepFailedError
from specforge.foundation.events import Event
from specforge.language.spec import Part, Registered, Spec, ValuePath
from specforge.planning.plan import Plan
from specforge.planning.states import find_results
from specforge.planning.steps import part_settings
from specforge.storage.store import Store

_ANSWER: Final = "trial.json"
_USEFUL: Final = frozenset({"tokenizer", "preprocess", "train"})

TRIED: Final[Mapping[str, ValuePath]] = MappingProxyType(
    {
        "tokenizer": ("tokenizer",),
        "data": ("task",),
        "model": ("model",),
        "criterion": ("criterion",),
        "optimizer": ("optimizer",),
        "lr_scheduler": ("lr_scheduler",),
        "train.valid_search": ("train", "valid_search"),
        "generate.search": ("generate", "search"),
        "generate.metrics": ("generate", "metrics"),
    }
)
"""What can be tried alone → the table of the spec that says what it is; that of metrics is a list of tables."""


def tried_parts(spec: Spec, component: str) -> dict[ValuePath, Part]:
    """Return the components that a trial is about by the paths of their tables, none where the spec has no such table."""
    path = TRIED[component]
    return {place: part for place, part in sorted(spec.parts.items(), key=str) if place[: len(path)] == path}


def try_component(
    spec: Spec, plan: Plan, store: Store, component: str, on_event: Callable[[Event], None], stop: StopRequest
) -> Trial:
    """Try a part of an experiment alone.

    Args:
        spec: the experiment.
        plan: its plan.
        store: the results that are there are used; nothing is written to it.
        component: a key of `TRIED`.
        on_event: hears messages and warnings of the worker.
        stop: requests to stop.

    Raises:
        SpecforgeError: the part, or the data that it needs, are wrong.
    """
    scratch = durable.temporary_folder(Path(tempfile.gettempdir()), "specforge-test")
    try:
        tried = [part.registered for part in tried_parts(spec, component).values()]
        job = _job(spec, plan, store, component, tried, scratch)
        run_workers(Launch((job,), scratch / "stderr"), on_event, stop)
        return Trial.model_validate_json((scratch / _ANSWER).read_bytes())
    except SpecforgeError as error:
        raise without_log(error, scratch) from error
    except FileNotFoundError:
        raise StepFailedError("SF634", f"the worker ended well and did not write `{_ANSWER}`") from None
    finally:
        durable.remove_folder(scratch)


def _job(spec: Spec, plan: Plan, store: Store, component: str, tried: Sequence[Registered], scratch: Path) -> Job:
    preprocess = plan.step("preprocess")
    found = find_results(plan.steps, store)
    settings: dict[str, JsonValue] = {
        **plan.step("train").settings,
        "preprocess": preprocess.settings["preprocess"],
        "generate": spec.generate.model_dump(mode="json", exclude={"search", "metrics"}),
        "search": part_settings(spec.parts["generate", "search"]) if spec.task.searches else None,
        "metrics": [part_settings(part) for part in tried_parts(spec, "generate.metrics").values()],
        "component": component,
        "identity": [registered.identity for registered in tried],
    }
    return Job(
        id=f"test.{component}",
        kind="test",
        settings=settings,
        corpora=list(step_corpora(spec, preprocess)),
        needs={
            step.kind: str(store.result(step.kind, found[step.id].key))
            for step in plan.steps
            if step.kind in _USEFUL and step.id in found
        },
        output=str(scratch),
        threads=available_threads(1),
    )
