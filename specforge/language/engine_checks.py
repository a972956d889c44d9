"""What `generate.engine` can do: CTranslate2 decodes one transformer, with beam or greedy search, and not with all their options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from specforge.language.checks import labels_at, typed_path
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.schema.generate import GenerateSection
from specforge.plugin import ComponentConfig, TaskConfig

if TYPE_CHECKING:
    from specforge.language.merge import Merged
    from specforge.language.spec import Part, ValuePath

_ENGINE: Final = ("generate", "engine")
_NATIVE: Final = 'write `engine = "native"`, or '

_SEARCHES: Final[Mapping[str, frozenset[str]]] = {
    "specforge/beam": frozenset({"beam", "lenpen", "normalize", "lenpen_form", "max_length", "match_source_length"}),
    "specforge/greedy": frozenset({"max_length", "match_source_length"}),
}
"""Searches that CTranslate2 does as we do → the fields that may have any value; the others keep their defaults."""

_SHORT: Final = (0, 1)
"""Values of `min_length` that CTranslate2 takes without weighing other symbols anew."""


def check_engine(generate: GenerateSection, parts: Mapping[ValuePath, Part], merged: Merged) -> Iterator[Diagnostic]:
    """Yield what the engine that is named cannot do, as far as the components are right.

    Args:
        generate: the section.
        parts: the components that are right.
        merged: for places.
    """
    if generate.engine == "native":
        return
    task = parts.get(("task",))
    if task is not None and isinstance(task.config, TaskConfig) and not task.config.searches:
        name = task.registered.component.name
        yield Diagnostic(
            "SF521",
            f"`engine` does nothing: the task `{name}` searches for no output",
            labels_at(merged, (_ENGINE, "this would do nothing"), (("task", "use"), "this task")),
            help="leave `generate.engine` out",
        )
        return
    if find_spec("ctranslate2") is None:
        yield Diagnostic(
            "SF681",
            "the engine `ctranslate2` needs a package that is not installed",
            labels_at(merged, (_ENGINE, "needs the package `ctranslate2`")),
            help="type `pip install 'specforge-compiler[ctranslate2]'`",
        )
    yield from _check_model(parts, merged)
    yield from _check_section(generate, merged)
    yield from _check_search(parts, merged)


def _check_model(parts: Mapping[ValuePath, Part], merged: Merged) -> Iterator[Diagnostic]:
    model = parts.get(("model",))
    if model is not None and model.registered.qualified != "specforge/transformer":
        yield _cannot(
            f"`{model.registered.component.name}` models",
            merged,
            (("model", "use"), "it decodes `transformer` alone"),
            'write `engine = "native"`',
        )


def _check_section(generate: GenerateSection, merged: Merged) -> Iterator[Diagnostic]:
    """Yield what is asked of outputs that CTranslate2 does not know, or of models that it does not have."""
    wanted = {
        "checkpoint": (len(generate.checkpoints) > 1, "several checkpoints together", "name one checkpoint"),
        "ensemble": (bool(generate.ensemble), "several models together", "leave `ensemble` out"),
        "language_model": (
            generate.language_model is not None,
            "a language model beside it",
            "leave `language_model` out",
        ),
        "rerank": (generate.rerank is not None, "reranking", "leave `rerank` out"),
        "alignment": (generate.alignment, "what an output looks at", "leave `alignment` out"),
        "precision": (generate.precision == "bf16", "bfloat16", "take `int8` or `fp32`"),
        "replace_unk": (generate.replace_unk, "what an output looks at", "leave `replace_unk` out"),
    }
    for name, (asked, what, instead) in wanted.items():
        if asked:
            yield _cannot(what, merged, (("generate", name), "it has no such thing"), f"{_NATIVE}{instead}")


def _check_search(parts: Mapping[ValuePath, Part], merged: Merged) -> Iterator[Diagnostic]:
    search = parts.get(("generate", "search"))
    if search is None:
        return
    path: ValuePath = ("generate", "search")
    qualified, name = search.registered.qualified, search.registered.component.name
    if qualified not in _SEARCHES:
        place = typed_path(merged, (*path, "use"), path)
        yield _cannot(
            f"the search `{name}` as it is done here",
            merged,
            (place, "it does `beam` and `greedy`"),
            f"{_NATIVE}another search",
        )
        return
    for field in _odd_fields(search.config, _SEARCHES[qualified]):
        place = typed_path(merged, (*path, field), path)
        yield _cannot(
            f"`{field}` of `{name}` as it is done here",
            merged,
            (place, "not as it is here"),
            f"{_NATIVE}leave `{field}` out",
        )


def _odd_fields(config: ComponentConfig, free: frozenset[str]) -> Iterator[str]:
    """Yield the fields with a value that CTranslate2 has nothing for."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if name not in free and value != field.default and not (name == "min_length" and value in _SHORT):
            yield name


def _cannot(what: str, merged: Merged, place: tuple[ValuePath, str], help: str) -> Diagnostic:
    return Diagnostic(
        "SF715",
        f"the engine `ctranslate2` does not do {what}",
        labels_at(merged, place, (_ENGINE, "this engine")),
        help=help,
    )
