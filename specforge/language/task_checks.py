"""What has to agree with the task of a spec: the family of its model, the tables that its steps read, the length of its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from specforge.foundation.terminal import printable
from specforge.language.checks import labels_at, typed_path
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.schema.data import PreprocessSection
from specforge.language.schema.generate import GenerateSection
from specforge.language.schema.train import TEXT_FREE_METRICS, TrainSection
from specforge.plugin import ComponentConfig, MetricConfig, ModelConfig, TaskConfig

if TYPE_CHECKING:
    from specforge.language.merge import Merged
    from specforge.language.spec import Part, ValuePath

_BEST_METRIC: Final = ("train", "best_metric")
_CHECKPOINT: Final = ("generate", "checkpoint")
_FAMILIES: Final = {
    "encoder_decoder": ("an encoder-decoder", "encoder-decoders"),
    "language_model": ("a language model", "language models"),
    "classifier": ("a classifier", "classifiers"),
}


def check_task(
    parts: Mapping[ValuePath, Part],
    train: TrainSection | None,
    judge: type[ComponentConfig] | None,
    preprocess: PreprocessSection | None,
    merged: Merged,
) -> Iterator[Diagnostic]:
    """Yield what does not agree with the task, as far as the task itself is right.

    Args:
        parts: the components that are right.
        train: the section, where its `best_metric` is right.
        judge: config of the metric that it names, where it names one.
        preprocess: the section, where it is right.
        merged: for places.
    """
    chosen, model = parts.get(("task",)), parts.get(("model",))
    if chosen is None or not isinstance(chosen.config, TaskConfig):
        return
    task = chosen.config
    if model is not None:
        yield from _check_family(task, model, parts, merged)
        if isinstance(model.config, ModelConfig):
            yield from _check_positions(task, model.config, merged)
    yield from _idle_tables(task, parts, merged)
    yield from _idle_models(task, parts, merged)
    yield from _idle_outputs(task, parts, merged)
    if train is not None:
        yield from _check_best_metric(task, parts, train, merged)
        yield from _check_update(task, train, merged)
    if "generate" in task.test_steps:
        yield from _check_metrics(task, parts, judge, merged)
    if preprocess is not None:
        yield from _idle_limits(task, preprocess, merged)


def _check_family(
    task: TaskConfig, model: Part, parts: Mapping[ValuePath, Part], merged: Merged
) -> Iterator[Diagnostic]:
    """Yield the model that is of another family than the task trains."""
    family = model.config.family if isinstance(model.config, ModelConfig) else ModelConfig.family
    if family != task.family:
        name, others = parts["task",].registered.component.name, family_name(task.family, one=False)
        yield Diagnostic(
            "SF520",
            f"the task `{name}` trains {others}, and `{model.registered.component.name}` is not one",
            labels_at(
                merged,
                (("model", "use"), f"this is {family_name(family)}"),
                (("task", "use"), f"this needs {family_name(task.family)}"),
            ),
            help="`specforge components model` lists what there is",
        )


def _check_best_metric(
    task: TaskConfig, parts: Mapping[ValuePath, Part], train: TrainSection, merged: Merged
) -> Iterator[Diagnostic]:
    """Yield a metric of outputs, where the task makes none."""
    if "generate" not in task.test_steps and train.best_metric not in TEXT_FREE_METRICS:
        yield Diagnostic(
            "SF521",
            f"there is no output that `best_metric` could judge: `{_name(parts)}` makes none",
            labels_at(merged, (_BEST_METRIC, "this scores outputs")),
            help=f"known here are {' and '.join(f'`{name}`' for name in TEXT_FREE_METRICS)}",
        )


def _check_metrics(
    task: TaskConfig, parts: Mapping[ValuePath, Part], judge: type[ComponentConfig] | None, merged: Merged
) -> Iterator[Diagnostic]:
    """Yield the metrics that compare texts where the task predicts labels, and the other way round."""
    labels = any(column.labels for column in task.columns() if column.role == task.predicted)
    output, fitting = ("labels", "`accuracy` and `f1` do") if labels else ("texts", "`exact_match` counts equal ones")
    chosen = [
        (path, part.registered.component.name, type(part.config))
        for path, part in parts.items()
        if path[:2] == ("generate", "metrics")
    ]
    if judge is not None:
        chosen.append((_BEST_METRIC, str(merged.at(_BEST_METRIC)), judge))
        if issubclass(judge, MetricConfig) and judge.needs_sources:
            yield Diagnostic(
                "SF524",
                f"the metric `{printable(str(merged.at(_BEST_METRIC)))}` looks at sources, which validation does not show",
                labels_at(merged, (_BEST_METRIC, "this needs sources")),
                help="validate by another metric, and score tests with this one in `generate.metrics`",
            )
    for path, name, config in chosen:
        judged = config.judges if issubclass(config, MetricConfig) else None
        if judged not in {None, output}:
            yield Diagnostic(
                "SF524",
                f"the metric `{name}` compares {judged}, and the task `{_name(parts)}` predicts {output}",
                labels_at(
                    merged,
                    (typed_path(merged, (*path, "use"), path), f"this is for {judged}"),
                    (("task", "use"), f"this predicts {output}"),
                ),
                help=f"compare {output}: {fitting}",
            )


def _idle_tables(task: TaskConfig, parts: Mapping[ValuePath, Part], merged: Merged) -> Iterator[Diagnostic]:
    """Yield the tables of components that no step of the task reads."""
    idle: list[tuple[ValuePath, str]] = []
    if not task.searches:
        idle += [(path, "predicts without a search") for path in (("generate", "search"), ("train", "valid_search"))]
    if "generate" not in task.test_steps:
        idle.append((("train", "valid_search"), "is validated by the text itself"))
        idle.append((("generate", "metrics"), "has no output to score: a test measures the model itself"))
    if not task.continues:
        idle.append((("data", "prompts"), "continues no text"))
    for path, what in idle:
        if merged.holds(path):
            yield Diagnostic(
                "SF521",
                f"`{path[-1]}` does nothing: the task `{_name(parts)}` {what}",
                labels_at(merged, (path, "this would do nothing"), (("task", "use"), "this task")),
                help=f"leave `{'.'.join(map(str, path))}` out",
            )


def _idle_models(task: TaskConfig, parts: Mapping[ValuePath, Part], merged: Merged) -> Iterator[Diagnostic]:
    """Yield the models that are to answer together, where the task asks one alone."""
    if task.searches and "generate" in task.test_steps:
        return
    what = "predicts with one model" if "generate" in task.test_steps else "measures one model"
    several = isinstance(merged.at(_CHECKPOINT), list)
    named = [path for path in (("generate", "ensemble"), ("generate", "language_model")) if merged.at(path)]
    for path in [*named, *([_CHECKPOINT] if several else [])]:
        yield Diagnostic(
            "SF521",
            f"there is nothing that several models could answer together: the task `{_name(parts)}` {what}",
            labels_at(merged, (path, "this would do nothing"), (("task", "use"), "this task")),
            help="name one checkpoint" if path == _CHECKPOINT else f"leave `{'.'.join(path)}` out",
        )


def _idle_outputs(task: TaskConfig, parts: Mapping[ValuePath, Part], merged: Merged) -> Iterator[Diagnostic]:
    """Yield keys of [generate] that are about outputs of a search, or about metrics, where the task has none."""
    about_outputs = () if task.searches else ("rerank", "too_long", "replace_unk", "nbest", "format", "alignment")
    about_metrics = () if "generate" in task.test_steps else ("bootstrap",)
    for name in (*about_outputs, *about_metrics):
        path = ("generate", name)
        if merged.holds(path) and merged.at(path) != GenerateSection.model_fields[name].default:
            yield Diagnostic(
                "SF521",
                f"`{name}` does nothing: the task `{_name(parts)}` "
                + ("searches for no output" if name in about_outputs else "measures the model itself, without metrics"),
                labels_at(merged, (path, "this would do nothing"), (("task", "use"), "this task")),
                help=f"leave `generate.{name}` out",
            )


def _idle_limits(task: TaskConfig, preprocess: PreprocessSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield keys of [preprocess] that are about two texts, where the task has one."""
    if _texts(task) > 1:
        return
    for name in ("max_ratio", "joined_dictionary", "threshold_target", "nwords_target"):
        default = type(preprocess).model_fields[name].default
        if merged.holds(("preprocess", name)) and getattr(preprocess, name) != default:
            instead = name.replace("target", "source")
            yield Diagnostic(
                "SF301",
                f"`{name}` does nothing where there is one text only",
                labels_at(merged, (("preprocess", name), "this would do nothing"), (("task", "use"), "this reads one")),
                help=f"`{instead}` holds for the only text" if instead != name else f"leave `{name}` out",
            )


def reads_two_texts(parts: Mapping[ValuePath, Part]) -> bool:
    """Return whether the task has two texts that could share a vocabulary; where it is not known, it may have."""
    chosen = parts.get(("task",))
    return chosen is None or not isinstance(chosen.config, TaskConfig) or _texts(chosen.config) > 1


def _texts(task: TaskConfig) -> int:
    return sum(not column.labels for column in task.columns())


def _check_positions(task: TaskConfig, model: ModelConfig, merged: Merged) -> Iterator[Diagnostic]:
    """Yield items as the task cuts them that are longer than the model's positions."""
    limits = model.longest_items()
    for role, length in task.longest_items().items():
        if role in limits and length > limits[role]:
            yield Diagnostic(
                "SF401",
                f"the task cuts text into {length:,} tokens, and the model has {limits[role]:,} positions",
                labels_at(
                    merged,
                    (typed_path(merged, ("task", "block_length"), ("task", "use")), f"{length:,} tokens each"),
                    (typed_path(merged, ("model", "max_positions"), ("model", "use")), f"this takes {limits[role]:,}"),
                ),
                help=f"write `max_positions = {length:_}` in [model], or cut shorter",
            )


def _check_update(task: TaskConfig, train: TrainSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield items as the task cuts them that are more than an update holds."""
    holds = train.batch_tokens or task.batch_tokens
    for length in task.longest_items().values():
        if train.batch_sentences is None and length > holds:
            yield Diagnostic(
                "SF401",
                f"the task cuts text into {length:,} tokens, and an update holds {holds:,}",
                labels_at(
                    merged,
                    (typed_path(merged, ("task", "block_length"), ("task", "use")), f"{length:,} tokens each"),
                    (typed_path(merged, ("train", "batch_tokens"), ("train",)), f"an update holds {holds:,}"),
                ),
                help=f"write `batch_tokens = {length:_}` or more in [train], or cut shorter",
            )


def family_name(name: str, *, one: bool = True) -> str:
    """Return a family of models in words: `a language model`, or `language models`."""
    singular, plural = _FAMILIES.get(name, (f"a model of the family `{name}`", f"models of the family `{name}`"))
    return singular if one else plural


def _name(parts: Mapping[ValuePath, Part]) -> str:
    return parts["task",].registered.component.name
