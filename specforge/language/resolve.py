"""From a spec file to a checked spec, or to everything that is wrong with it.

Read the layers, merge them, check the fixed tables and each component's own, then what has to agree across tables. No phase
stops the next: what is right by itself is checked further, so that all mistakes are told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from specforge.language.checks import (
    check_checkpoint,
    check_horizon,
    check_micro_batch,
    check_model,
    check_precision,
    check_strategy,
    check_validation,
    check_versions,
    check_vocabulary,
)
from specforge.language.components import Components, check_components
from specforge.language.corpora import Corpora, check_corpora
from specforge.language.engine_checks import check_engine
from specforge.language.fields import model_at
from specforge.language.layers import Stack, read_layers
from specforge.language.lints import lint
from specforge.language.merge import Merged, merge
from specforge.language.messages.diagnostics import Diagnostic, Label, SpecError, in_order
from specforge.language.messages.problems import CheckedTable, Explainer
from specforge.language.model_folders import ModelFolders, check_model_folders
from specforge.language.naming import default_name
from specforge.language.registry import load_registry
from specforge.language.schema.data import DataSection, PreprocessSection
from specforge.language.schema.document import SpecDocument
from specforge.language.schema.generate import GenerateSection
from specforge.language.schema.run import RunSection
from specforge.language.schema.section import Section
from specforge.language.schema.train import TrainSection
from specforge.language.spec import Spec, ValuePath
from specforge.language.taken_vocabulary import check_taken_vocabulary, taken_folder
from specforge.language.task_checks import check_task, reads_two_texts
from specforge.language.tree import resolved_tree, tree_origins
from specforge.language.validation import Outcome, validate
from specforge.plugin import LRSchedulerConfig, ModelConfig, OptimizerConfig, TaskConfig, TokenizerConfig

if TYPE_CHECKING:
    from specforge.language.sweeps.points import Check

SectionT = TypeVar("SectionT", bound=Section)


def load_spec(
    path: Path, assignments: Sequence[str] = (), text: str | None = None, *, point: int | None = None
) -> Spec:
    """Read, resolve and check a spec.

    Args:
        path: the file as typed.
        assignments: the arguments of `--set`, in order: `train.max_updates=500`.
        text: the text to take instead of what the file holds.
        point: the point of the sweep to return, from 1; the other points are not checked then.

    Returns:
        The spec at that point; without `point` the spec beside its sweep, of which every point is right.

    Raises:
        SpecError: with every diagnostic.
        WrongInputError: SF128, there is no such point.
        EnvironmentFaultError: the system does not let us read a file.
    """
    stack, merged = _read(path, assignments, text)
    if point is None:
        return _with_points(path, stack, merged)[0]
    from specforge.language.sweeps import points

    return points.load_point(merged, point, _how(path, stack))


def load_sweep(path: Path, assignments: Sequence[str] = ()) -> tuple[Spec, tuple[Spec, ...]]:
    """Return a spec and the spec of each point of its sweep, in order; no points where it has none.

    Args:
        path: the file as typed.
        assignments: the arguments of `--set`, in order.

    Raises:
        SpecError: as `load_spec`.
    """
    stack, merged = _read(path, assignments)
    return _with_points(path, stack, merged)


def _read(path: Path, assignments: Sequence[str], text: str | None = None) -> tuple[Stack, Merged]:
    stack = read_layers(path, assignments, text)
    merged = merge(stack.layers)
    if not merged.tree and not stack.diagnostics:
        raise SpecError([_empty(merged)])
    return stack, merged


def _with_points(path: Path, stack: Stack, merged: Merged) -> tuple[Spec, tuple[Spec, ...]]:
    if "sweep" not in merged.tree:
        return _checked(path, stack, merged), ()
    from specforge.language.sweeps import points  # few specs are sweeps

    return points.load_points(merged, _how(path, stack))


def _how(path: Path, stack: Stack) -> Check:
    from specforge.language.sweeps.points import Check

    return Check(lambda merged: _checked(path, stack, merged), stack.rank, default_name(path))


def _checked(path: Path, stack: Stack, merged: Merged) -> Spec:
    """Check what all layers say together, without a sweep.

    Raises:
        SpecError: with every diagnostic.
    """
    components = check_components(merged, load_registry())
    outcome = validate(SpecDocument, merged.tree, merged.faulty(()))
    explainer = Explainer(merged, [*_section_tables(merged), *components.tables], complete=stack.complete)
    document = CheckedTable((), SpecDocument, merged.tree)
    explained = list(explainer.explain_all([(document, outcome.errors), *components.errors]))
    corpora, crossing = _check_across(merged, components, outcome, explainer.meant, complete=stack.complete)
    folders = _model_folders(merged, components, outcome)
    preprocess = _section(merged, outcome, "preprocess", PreprocessSection)
    if preprocess.value is not None and preprocess.intact(("vocabulary",)):
        crossing += check_taken_vocabulary(preprocess.value, components.parts, merged)
    diagnostics = [
        *stack.diagnostics,
        *merged.diagnostics,
        *explained,
        *(found for found in components.diagnostics if stack.complete or found.code != "SF102"),
        *crossing,
        *folders.diagnostics,
    ]
    if diagnostics:
        raise SpecError([stack.with_way(diagnostic) for diagnostic in in_order(diagnostics, stack.rank)])
    assert outcome.value is not None, "a document without a diagnostic is valid"
    spec = _finished(path, _placed(outcome.value, folders, merged), components, corpora, merged)
    return replace(spec, warnings=in_order(lint(spec, merged), stack.rank))


def _check_across(
    merged: Merged,
    components: Components,
    outcome: Outcome[SpecDocument],
    meant: AbstractSet[ValuePath],
    *,
    complete: bool,
) -> tuple[Corpora, list[Diagnostic]]:
    """Check across the tables, each as far as it is right by itself."""
    diagnostics = [*check_versions(merged)]
    corpora = Corpora()
    data = _section(merged, outcome, "data", DataSection)
    if data.value is not None:
        corpora = check_corpora(
            data.value, merged, components.columns, lambda path: data.intact(path[1:]), _scored_column(components)
        )
        complete = complete and ("data", "valid") not in meant
        diagnostics += [found for found in corpora.diagnostics if complete or found.code != "SF102"]
    train = _section(merged, outcome, "train", TrainSection)
    if train.value is not None and train.intact(("best_metric",)):
        diagnostics += check_validation(train.value, merged)
    generate = _section(merged, outcome, "generate", GenerateSection)
    averaged = train.value if train.intact(("average_best",)) else None
    diagnostics += _check_generate(generate, averaged, merged, components)
    run = _section(merged, outcome, "run", RunSection)
    precise = train.value if train.intact(("precision",)) and run.intact(("device",)) else None
    if precise is not None and run.value is not None:
        diagnostics += check_precision(precise, run.value, merged)
    shared = run.value if run.intact(("strategy",)) and run.intact(("devices",)) else None
    optimizer = components.parts.get(("optimizer",))
    if shared is not None and optimizer is not None and isinstance(optimizer.config, OptimizerConfig):
        diagnostics += check_strategy(shared, optimizer.config, merged)
    task = components.parts.get(("task",))
    cut = run.value if run.intact(("max_tokens",)) else None
    if cut is not None and task is not None and isinstance(task.config, TaskConfig):
        diagnostics += check_micro_batch(task.config, cut, merged)
    judged = train.value if train.intact(("best_metric",)) else None
    scheduler = components.parts.get(("lr_scheduler",))
    budget = train.value if train.intact(("max_updates",)) and ("train", "max_updates") not in meant else None
    if budget is not None and scheduler is not None and isinstance(scheduler.config, LRSchedulerConfig):
        diagnostics += check_horizon(budget, scheduler.config, merged)
    preprocess = _section(merged, outcome, "preprocess", PreprocessSection)
    diagnostics += check_task(components.parts, judged, components.judge, preprocess.value, merged)
    tokenizer = components.parts.get(("tokenizer",))
    if preprocess.value is not None and tokenizer is not None and isinstance(tokenizer.config, TokenizerConfig):
        if reads_two_texts(components.parts):
            diagnostics += check_vocabulary(preprocess.value, tokenizer.config, merged)
        model = components.parts.get(("model",))
        if model is not None and isinstance(model.config, ModelConfig):
            diagnostics += check_model(preprocess.value, tokenizer.config, model.config, merged)
    return corpora, diagnostics


def _check_generate(
    generate: Outcome[GenerateSection], averaged: TrainSection | None, merged: Merged, components: Components
) -> Iterator[Diagnostic]:
    """Check [generate] against what trains and what decodes.

    Args:
        generate: the section.
        averaged: the section [train], where its averages are right.
        merged: for places.
        components: the components.
    """
    if generate.value is None:
        return
    if averaged is not None and generate.intact(("checkpoint",)):
        yield from check_checkpoint(generate.value, averaged, merged)
    if generate.intact(()):
        yield from check_engine(generate.value, components.parts, merged)


def _scored_column(components: Components) -> str | None:
    """Return the column that outputs are scored against, where it may be others instead: of a task that writes text."""
    task = components.parts.get(("task",))
    if task is None or not isinstance(task.config, TaskConfig) or not task.config.searches:
        return None
    return next((column.name for column in task.config.columns() if column.role == task.config.predicted), None)


def _placed(document: SpecDocument, folders: ModelFolders, merged: Merged) -> SpecDocument:
    """Return a document with the model folders that it names as they are called from anywhere."""
    preprocess, taken = document.preprocess, document.preprocess.vocabulary
    if taken is not None:
        moved = taken.model_copy(update={"path": str(taken_folder(taken, merged))})
        preprocess = preprocess.model_copy(update={"vocabulary": moved})
    return document.model_copy(update={"generate": folders.placed(document.generate), "preprocess": preprocess})


def _model_folders(merged: Merged, components: Components, outcome: Outcome[SpecDocument]) -> ModelFolders:
    """Return the model folders of [generate], as far as it is right."""
    generate, task = _section(merged, outcome, "generate", GenerateSection), components.parts.get(("task",))
    if generate.value is None:
        return ModelFolders()
    family = task.config.family if task is not None and isinstance(task.config, TaskConfig) else None
    return check_model_folders(generate.value, family, merged, generate.intact)


def _section(merged: Merged, outcome: Outcome[SpecDocument], name: str, model: type[SectionT]) -> Outcome[SectionT]:
    """Return a fixed table by itself: what is wrong in the others does not count."""
    if outcome.value is not None and not outcome.left_out:
        section = getattr(outcome.value, name)
        assert isinstance(section, model)
        return Outcome(section)
    table = merged.tree.get(name, {})
    return validate(model, table, merged.faulty((name,))) if isinstance(table, dict) else Outcome(None)


def _section_tables(merged: Merged) -> Iterator[CheckedTable]:
    """Yield the fixed tables with their models, whether written or not."""
    for name in SpecDocument.model_fields:
        model = model_at(SpecDocument, (name,))
        if model is not None:
            yield CheckedTable((name,), model, merged.tree.get(name))


def _empty(merged: Merged) -> Diagnostic:
    label = Label(merged.layers[-1].source.text, None)
    return Diagnostic("SF102", "the spec is empty", (label,), help="`specforge = 1` is its first line")


def _finished(path: Path, document: SpecDocument, components: Components, corpora: Corpora, merged: Merged) -> Spec:
    task = components.parts["task",]
    train = document.train
    if train.batch_tokens is None and train.batch_sentences is None:
        assert isinstance(task.config, TaskConfig)
        train = train.model_copy(update={"batch_tokens": task.config.batch_tokens})
    name = default_name(path) if document.name is None else document.name
    document = document.model_copy(update={"name": name, "train": train})
    tree = resolved_tree(document, components.parts, merged)
    return Spec(
        path=path,
        name=name,
        seed=document.seed,
        parts=components.parts,
        data=document.data,
        preprocess=document.preprocess,
        train=train,
        generate=document.generate,
        run=document.run,
        train_corpora=tuple(corpora.train),
        valid_corpus=corpora.valid,
        test_corpora=corpora.test,
        held_out_test=corpora.held_out_test,
        prompt_corpus=corpora.prompts,
        tree=tree,
        origins=tree_origins(tree, components.tables, merged),
    )
