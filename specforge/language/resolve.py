"""From a spec file to a checked spec, or to everything that is wrong with it.

Read the layers, merge them, check the fixed tables and each component's own, then what has to agree across tables. No phase
stops the next: what is right by itself is checked further, so that all mistakes are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from specforge.language.checks import check_horizon, check_validation, check_versions, check_vocabulary
from specforge.language.components import Components, check_components
from specforge.language.corpora import Corpora, check_corpora
from specforge.language.diagnostics import Diagnostic, Label, SpecError, in_order
from specforge.language.fields import model_at
from specforge.language.layers import read_layers
from specforge.language.merge import Merged, merge
from specforge.language.problems import CheckedTable, Explainer
from specforge.language.registry import load_registry
from specforge.language.schema import DataSection, PreprocessSection, Section, SpecDocument, TrainSection
from specforge.language.spec import Spec
from specforge.language.tree import resolved_tree, tree_origins
from specforge.language.validation import Outcome, validate
from specforge.plugin import LRSchedulerConfig, TaskConfig, TokenizerConfig

_DEFAULT_NAME: Final = "spec"
SectionT = TypeVar("SectionT", bound=Section)

_UNNAMEABLE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def load_spec(path: Path, assignments: Sequence[str] = ()) -> Spec:
    """Read, resolve and check a spec.

    Args:
        path: the file as typed.
        assignments: the arguments of `--set`, in order: `train.max_updates=500`.

    Raises:
        SpecError: with every diagnostic.
        EnvironmentFaultError: the system does not let us read a file.
    """
    stack = read_layers(path, assignments)
    merged = merge(stack.layers)
    if not merged.tree and not stack.diagnostics:
        raise SpecError([_empty(merged)])
    components = check_components(merged, load_registry())
    outcome = validate(SpecDocument, merged.tree, merged.faulty(()))
    explainer = Explainer(merged, [*_section_tables(merged), *components.tables], complete=stack.complete)
    corpora, crossing = _check_across(merged, components, outcome, complete=stack.complete)
    diagnostics = [
        *stack.diagnostics,
        *merged.diagnostics,
        *explainer.explain(CheckedTable((), SpecDocument, merged.tree), outcome.errors),
        *(found for found in components.diagnostics if stack.complete or found.code != "SF102"),
        *(diagnostic for table, wrong in components.errors for diagnostic in explainer.explain(table, wrong)),
        *crossing,
    ]
    if diagnostics:
        raise SpecError(in_order(diagnostics, stack.rank))
    assert outcome.value is not None, "a document without a diagnostic is valid"
    return _finished(path, outcome.value, components, corpora, merged)


def default_name(path: Path) -> str:
    """Return the name of a spec that gives itself none: the file's stem, made fit to name a folder."""
    return _UNNAMEABLE.sub("-", path.stem).lstrip("._-")[:100] or _DEFAULT_NAME


def _check_across(
    merged: Merged, components: Components, outcome: Outcome[SpecDocument], *, complete: bool
) -> tuple[Corpora, list[Diagnostic]]:
    """Check across the tables, each as far as it is right by itself."""
    diagnostics = [*check_versions(merged)]
    corpora = Corpora()
    data = _section(merged, outcome, "data", DataSection)
    if data.value is not None:
        corpora = check_corpora(data.value, merged, components.columns, lambda path: data.intact(path[1:]))
        diagnostics += [found for found in corpora.diagnostics if complete or found.code != "SF102"]
    train = _section(merged, outcome, "train", TrainSection)
    if train.value is not None and train.intact(("best_metric",)):
        diagnostics += check_validation(train.value, merged)
    scheduler = components.parts.get(("lr_scheduler",))
    budget = train.value if train.intact(("max_updates",)) else None
    if budget is not None and scheduler is not None and isinstance(scheduler.config, LRSchedulerConfig):
        diagnostics += check_horizon(budget, scheduler.config, merged)
    preprocess = _section(merged, outcome, "preprocess", PreprocessSection)
    tokenizer = components.parts.get(("tokenizer",))
    if preprocess.value is not None and tokenizer is not None and isinstance(tokenizer.config, TokenizerConfig):
        diagnostics += check_vocabulary(preprocess.value, tokenizer.config, merged)
    return corpora, diagnostics


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
        tree=tree,
        origins=tree_origins(tree, components.tables, merged),
    )
