"""From the tables of a job to built objects: names are looked up, configs checked once more, factories called.

A table is `{"use": "distribution/name", …}` with every value filled in. What a factory of a plugin raises becomes an error
that names the plugin; what one of ours raises is a fault of ours and stays a traceback.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue, ValidationError

from specforge.foundation.errors import RefusedError, SpecforgeError, StepFailedError
from specforge.foundation.terminal import printable
from specforge.language.plugins import BUILT_IN
from specforge.language.registry import config_class, factory, load_registry
from specforge.language.spec import Registered
from specforge.metrics.metric import Metric
from specforge.plugin import ComponentConfig, Kind, ModelConfig, ModelContext, Schedule, TaskConfig
from specforge.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:  # these import torch, which tokenizer, preprocess and score do without
    from torch import nn
    from torch.optim import Optimizer

    from specforge.criterions.criterion import Criterion
    from specforge.models.model import Model
    from specforge.searches.search import Search
    from specforge.tasks.task import Task


def configured(kind: Kind, table: JsonValue) -> tuple[Registered, ComponentConfig]:
    """Return the component that a table names, and the table as its checked config.

    Raises:
        UnknownComponentError: no installed distribution offers it.
        RefusedError: SF211, the values do not fit the component as it is installed here.
    """
    assert isinstance(table, dict)
    name = table["use"]
    assert isinstance(name, str)
    match = load_registry().find(kind, name)
    preset = {} if match.preset is None else match.preset.values
    values = {**preset, **{key: value for key, value in table.items() if key != "use"}}
    try:
        config = config_class(match.registered).model_validate_json(json.dumps(values))
    except ValidationError as error:
        notes = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()}"
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise RefusedError(
            "SF211",
            f"the settings of the {kind} do not fit `{match.registered.identity}` as it is installed",
            notes=tuple(notes),
            help="they were made with another version of it",
        ) from error
    return match.registered, config


def task_config(table: JsonValue) -> TaskConfig:
    """Return the config of a task's table, for what must be known of a task without torch."""
    _, config = configured("task", table)
    assert isinstance(config, TaskConfig)
    return config


def make_task(table: JsonValue) -> Task:
    """Build a task."""
    from specforge.tasks.task import Task

    registered, task = _built("task", table)
    if not isinstance(task, Task):
        raise _misbuilt(registered, task, "Task")
    return task


def make_tokenizer(table: JsonValue) -> Tokenizer:
    """Build a tokenizer; it knows nothing before `train` or `load`."""
    registered, tokenizer = _built("tokenizer", table)
    if not isinstance(tokenizer, Tokenizer):
        raise _misbuilt(registered, tokenizer, "Tokenizer")
    return tokenizer


def make_model(table: JsonValue, context: ModelContext) -> Model:
    """Build a model with fresh weights, on torch's default device; it is of the family that its config names."""
    from specforge.models.model import FAMILIES, Model

    _, config = configured("model", table)
    family = FAMILIES.get(config.family if isinstance(config, ModelConfig) else ModelConfig.family, Model)
    registered, model = _built("model", table, context)
    if not isinstance(model, Model) or not isinstance(model, family):
        raise _misbuilt(registered, model, family.__name__)
    return model


def make_criterion(table: JsonValue, context: ModelContext) -> Criterion:
    """Build a criterion."""
    from specforge.criterions.criterion import Criterion

    registered, criterion = _built("criterion", table, context)
    if not isinstance(criterion, Criterion):
        raise _misbuilt(registered, criterion, "Criterion")
    return criterion


def make_optimizer(table: JsonValue, parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
    """Build an optimizer of named parameters."""
    from torch.optim import Optimizer

    registered, optimizer = _built("optimizer", table, list(parameters))
    if not isinstance(optimizer, Optimizer):
        raise _misbuilt(registered, optimizer, "Optimizer")
    return optimizer


def make_schedule(table: JsonValue, peak_lr: float) -> Schedule:
    """Build the learning rate as a function of progress."""
    registered, schedule = _built("lr_scheduler", table, peak_lr)
    if not callable(schedule):
        raise _misbuilt(registered, schedule, "Schedule")
    return cast("Schedule", schedule)


def make_search(table: JsonValue) -> Search:
    """Build a search."""
    from specforge.searches.search import Search

    registered, search = _built("search", table)
    if not isinstance(search, Search):
        raise _misbuilt(registered, search, "Search")
    return search


def make_metric(table: JsonValue) -> Metric:
    """Build a metric."""
    registered, metric = _built("metric", table)
    if not isinstance(metric, Metric):
        raise _misbuilt(registered, metric, "Metric")
    return metric


def _built(kind: Kind, table: JsonValue, *context: object) -> tuple[Registered, object]:
    """Call the factory of the component that a table names.

    Args:
        kind: kind of the table.
        table: the table.
        context: what a factory of this kind gets after its config, as `specforge.plugin` says.

    Raises:
        StepFailedError: SF210, a plugin's factory raised.
    """
    registered, config = configured(kind, table)
    build = factory(registered)
    try:
        return registered, build(config, *context)
    except SpecforgeError:
        raise
    except Exception as error:
        if registered.distribution == BUILT_IN:
            raise
        raise _failed(registered, f"{type(error).__name__}: {error}") from error


def _misbuilt(registered: Registered, found: object, expected: str) -> StepFailedError:
    return _failed(registered, f"its factory returned an object of type `{type(found).__name__}`, not `{expected}`")


def _failed(registered: Registered, cause: str) -> StepFailedError:
    return StepFailedError(
        "SF210",
        f"the {registered.component.kind} `{registered.qualified}` cannot be built",
        notes=(printable(" ".join(cause.split())),),
        help=f"this is a fault of {registered.distribution} {registered.distribution_version}, tell its authors",
    )
