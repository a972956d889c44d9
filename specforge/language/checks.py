"""What has to agree across the tables of a spec; each check runs on the tables that are right by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.schema.data import PreprocessSection
from specforge.language.schema.document import LANGUAGE_VERSION
from specforge.language.schema.generate import GenerateSection
from specforge.language.schema.run import RunSection
from specforge.language.schema.train import TEXT_FREE_METRICS, TrainSection

if TYPE_CHECKING:
    from specforge.language.merge import Merged
    from specforge.language.messages.diagnostics import Label
    from specforge.language.spec import ValuePath
    from specforge.plugin import LRSchedulerConfig, ModelConfig, OptimizerConfig, TaskConfig, TokenizerConfig


def check_versions(merged: Merged) -> Iterator[Diagnostic]:
    """Yield the files that a spec extends and that are written in another version of the language."""
    for layer in merged.layers:
        version = layer.document.tree.get("specforge", LANGUAGE_VERSION)
        if version != LANGUAGE_VERSION and merged.layer_of(("specforge",)) is not layer:
            label = layer.label(("specforge",), f"this specforge knows version {LANGUAGE_VERSION}")
            yield Diagnostic("SF103", "another version of the language", (label,))


def check_validation(train: TrainSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield what is wrong between `valid_search` and `best_metric`: a search whose text nobody would look at."""
    if train.valid_search is not None and train.best_metric in TEXT_FREE_METRICS:
        yield Diagnostic(
            "SF302",
            f"`valid_search` decodes, and `best_metric` looks at the {train.best_metric} only",
            labels_at(
                merged,
                (("train", "valid_search"), "this would do nothing"),
                (("train", "best_metric"), "this needs no text"),
            ),
            help='write `best_metric = "bleu"`, or leave `valid_search` out',
        )


def check_checkpoint(generate: GenerateSection, train: TrainSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield an average that is to be decoded with, and that training is not asked for."""
    if "average_best" in generate.checkpoints and train.average_best is None:
        yield Diagnostic(
            "SF301",
            "training makes no `average_best`",
            labels_at(
                merged,
                (("generate", "checkpoint"), "`train.average_best` would say how many of the best it is made of"),
            ),
            help="write `average_best = 5` in [train], or another number",
        )


def check_precision(train: TrainSection, run: RunSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield a precision that the device does not have."""
    if train.precision == "fp16" and run.device == "cpu":
        yield Diagnostic(
            "SF301",
            "fp16 needs a CUDA device",
            labels_at(merged, (("train", "precision"), "this is for CUDA"), (("run", "device"), "this is none")),
            help='write `precision = "bf16"` or `"fp32"`',
        )


def check_strategy(run: RunSection, optimizer: OptimizerConfig, merged: Merged) -> Iterator[Diagnostic]:
    """Yield an optimizer that cannot step parts of a tensor, where each device has only a part."""
    if run.strategy == "fsdp" and run.devices > 1 and not optimizer.elementwise:
        table = typed_path(merged, ("optimizer", "use"), ("optimizer",))
        yield Diagnostic(
            "SF301",
            "this optimizer cannot be shared by several devices with `fsdp`",
            labels_at(
                merged,
                (("run", "strategy"), "each device steps a part of every weight"),
                (table, "this looks at whole tensors"),
            ),
            help='write `strategy = "ddp"`, or take another optimizer',
        )


def check_micro_batch(task: TaskConfig, run: RunSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield items as the task cuts them that are more than a micro-batch holds."""
    for length in task.longest_items().values():
        if length > run.max_tokens:
            yield Diagnostic(
                "SF401",
                f"the task cuts text into {length:,} tokens, and a micro-batch holds {run.max_tokens:,}",
                labels_at(
                    merged,
                    (typed_path(merged, ("task", "block_length"), ("task", "use")), f"{length:,} tokens each"),
                    (("run", "max_tokens"), f"a micro-batch holds {run.max_tokens:,}"),
                ),
                help=f"write `max_tokens = {length:_}` or more in [run], or cut shorter",
            )


def check_vocabulary(preprocess: PreprocessSection, tokenizer: TokenizerConfig, merged: Merged) -> Iterator[Diagnostic]:
    """Yield limits of the target's vocabulary that would do nothing, since both sides share the source's."""
    joined = preprocess.joined_dictionary
    if not (tokenizer.joined() if joined is None else joined):
        return
    pairs = (
        ("threshold_source", preprocess.threshold_source, "threshold_target", preprocess.threshold_target),
        ("nwords_source", preprocess.nwords_source, "nwords_target", preprocess.nwords_target),
    )
    for source, source_value, target, target_value in pairs:
        if merged.holds(("preprocess", target)) and source_value != target_value:
            reason = ("tokenizer",) if joined is None else ("preprocess", "joined_dictionary")
            yield Diagnostic(
                "SF301",
                f"`{target}` does nothing where both sides share one vocabulary",
                labels_at(merged, (("preprocess", target), "this would do nothing"), (reason, "this joins them")),
                help=f"`{source}` holds for both",
            )


def check_model(
    preprocess: PreprocessSection, tokenizer: TokenizerConfig, model: ModelConfig, merged: Merged
) -> Iterator[Diagnostic]:
    """Yield what the model cannot do with the data as [preprocess] makes them: items too long, a vocabulary a side."""
    longest = min(model.longest_items().values(), default=None)
    if longest is not None and preprocess.max_length is not None and preprocess.max_length > longest:
        limit = typed_path(merged, ("model", "max_positions"), ("model", "use"))
        yield Diagnostic(
            "SF401",
            f"`max_length` lets items pass that are longer than the model's {longest:,} positions",
            labels_at(
                merged,
                (("preprocess", "max_length"), f"up to {preprocess.max_length:,} tokens"),
                (limit, f"this takes up to {longest:,}"),
            ),
            help=f"write `max_length = {longest:_}`, or give the model more positions",
        )
    field, joined = model.needs_joined_vocabulary(), preprocess.joined_dictionary
    if field is not None and not (tokenizer.joined() if joined is None else joined):
        reason = typed_path(merged, ("tokenizer", "shared"), ("tokenizer", "use"))
        yield Diagnostic(
            "SF301",
            f"`{field}` needs one vocabulary for both sides, and each side has its own",
            labels_at(
                merged,
                (typed_path(merged, ("model", field), ("model", "use")), "this shares a table between both"),
                (reason if joined is None else ("preprocess", "joined_dictionary"), "this keeps them apart"),
            ),
            help="write `joined_dictionary = true` in [preprocess], or share less",
        )


def typed_path(merged: Merged, *paths: ValuePath) -> ValuePath:
    """Return the first path at which somebody typed something, else the last one."""
    return next((path for path in paths if merged.layer_of(path) is not None), paths[-1])


def check_horizon(train: TrainSection, scheduler: LRSchedulerConfig, merged: Merged) -> Iterator[Diagnostic]:
    """Yield what is wrong between the lr_scheduler and the budget: one that aims at an update needs to know which."""
    if not scheduler.horizon_free and train.max_updates is None:
        yield Diagnostic(
            "SF301",
            "this lr_scheduler needs `max_updates`: its rates depend on the number of the last update",
            labels_at(
                merged,
                (("lr_scheduler", "use"), "this aims at the last update"),
                (("train", "max_epochs"), "this does not say which one that is"),
            ),
            help="give `max_updates` beside `max_epochs`, or take another lr_scheduler",
        )


def labels_at(merged: Merged, *wanted: tuple[ValuePath, str]) -> tuple[Label, ...]:
    """Return a label at each of some paths that somebody typed, the first one primary."""
    labels = [merged.label(path, text, primary=nth == 0) for nth, (path, text) in enumerate(wanted)]
    return tuple(label for label in labels if label is not None)
