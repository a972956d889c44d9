"""`preprocess.vocabulary`: tokenizer and vocabulary of a model folder in place of new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from specforge.language.checks import labels_at, typed_path
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.model_folders import VOCABULARY, described, folder_faults, folder_start
from specforge.language.text.toml_text import toml_value
from specforge.plugin import TaskConfig, TokenizerConfig

if TYPE_CHECKING:
    from pydantic import JsonValue

    from specforge.language.merge import Merged
    from specforge.language.schema.data import PreprocessSection, VocabularySection
    from specforge.language.spec import Part, ValuePath

_LEARNED: Final = (
    "joined_dictionary",
    "threshold_source",
    "threshold_target",
    "nwords_source",
    "nwords_target",
    "padding_factor",
)
"""Keys of [preprocess] that say how a vocabulary is learned."""


def taken_folder(section: VocabularySection, merged: Merged) -> Path:
    """Return the folder that a vocabulary is taken from."""
    return folder_start(merged, VOCABULARY) / section.path


def check_taken_vocabulary(
    preprocess: PreprocessSection, parts: Mapping[ValuePath, Part], merged: Merged
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the vocabulary that a spec takes over, where it takes one.

    Args:
        preprocess: the checked section.
        parts: the components that are right.
        merged: for places.
    """
    section = preprocess.vocabulary
    if section is None:
        return
    folder = taken_folder(section, merged)
    faults = list(folder_faults(folder, VOCABULARY, section.path, None, merged))
    yield from faults
    if faults:
        return
    yield from _idle_keys(preprocess, merged)
    task, tokenizer = parts.get(("task",)), parts.get(("tokenizer",))
    if tokenizer is not None and isinstance(tokenizer.config, TokenizerConfig):
        yield from _other_tokenizer(folder, tokenizer, merged)
    if task is not None and isinstance(task.config, TaskConfig):
        yield from _missing_roles(folder, section, task.config, tokenizer, merged)


def _idle_keys(preprocess: PreprocessSection, merged: Merged) -> Iterator[Diagnostic]:
    for name in _LEARNED[1:]:
        default = type(preprocess).model_fields[name].default
        if merged.holds(("preprocess", name)) and getattr(preprocess, name) != default:
            yield Diagnostic(
                "SF301",
                f"`{name}` does nothing where the vocabulary is taken from a model folder",
                labels_at(merged, (("preprocess", name), "this would do nothing"), (VOCABULARY, "this is what it is")),
                help=f"leave `{name}` out",
            )


def _other_tokenizer(folder: Path, tokenizer: Part, merged: Merged) -> Iterator[Diagnostic]:
    """Yield the first field in which the tokenizer is not the one that the folder's vocabulary was made with."""
    table = described(folder, "tokenizer")
    values: dict[str, JsonValue] = {"use": tokenizer.registered.qualified, **tokenizer.values()}
    different = [name for name in {**values, **table} if values.get(name) != table.get(name)]
    if not different:
        return
    name = different[0]
    what = "another tokenizer" if name == "use" else f"a tokenizer with `{name} = {toml_value(table.get(name))}`"
    yield Diagnostic(
        "SF301",
        f"the vocabulary was made with {what}",
        labels_at(
            merged,
            (VOCABULARY, "this is taken over with its tokenizer"),
            (typed_path(merged, ("tokenizer", name), ("tokenizer",)), "this is not the same"),
        ),
        help=f"write `{_as_typed(table, tokenizer, different)}`",
    )


def _as_typed(table: Mapping[str, JsonValue], tokenizer: Part, different: Sequence[str]) -> str:
    """Return the table of a tokenizer as a spec would have it, without defaults that need not be said."""
    fields = type(tokenizer.config).model_fields
    default = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    same = table.get("use") == tokenizer.registered.qualified
    needed = {"use", *different} if same else {*table}
    said = {name: value for name, value in table.items() if name in needed or value != default.get(name)}
    said["use"] = str(table.get("use")).removeprefix("specforge/")
    return f"tokenizer = {{ {', '.join(f'{name} = {toml_value(value)}' for name, value in said.items())} }}"


def _missing_roles(
    folder: Path, section: VocabularySection, task: TaskConfig, tokenizer: Part | None, merged: Merged
) -> Iterator[Diagnostic]:
    """Yield the texts for which the folder has no vocabulary, or no tokenizer."""
    there = sorted(path.name.split(".")[1] for path in folder.glob("vocabulary.*.txt"))
    path: ValuePath = (*VOCABULARY[:2], "role")
    for role in (column.role for column in task.columns() if not column.labels):
        wanted = section.role or role
        if wanted not in there:
            yield Diagnostic(
                "SF301",
                f"the folder has no vocabulary of `{wanted}`",
                labels_at(merged, (typed_path(merged, path, VOCABULARY), f"it has {' and '.join(there) or 'none'}")),
                help=f'write `vocabulary = {{ path = {toml_value(section.path)}, role = "{there[-1]}" }}`'
                if there
                else None,
            )
            return
        config = None if tokenizer is None else tokenizer.config
        if wanted != role and isinstance(config, TokenizerConfig) and config.trained and not config.joined():
            yield Diagnostic(
                "SF301",
                f"the folder has a tokenizer for each column, and none for `{role}`",
                labels_at(
                    merged, (typed_path(merged, path, VOCABULARY), "this takes the vocabulary of another column")
                ),
                help="only a tokenizer that all columns share can be taken for another column",
            )
            return
