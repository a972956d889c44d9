"""The second phase of checking: each component table by its own component's config, one at a time.

Only the configs that the spec asks for are imported, and the errors of one table never hide another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from specforge.foundation.errors import SpecforgeError
from specforge.foundation.terminal import printable
from specforge.language.component_places import COMPONENT_LISTS, COMPONENT_TABLES
from specforge.language.messages import wording
from specforge.language.messages.diagnostics import Diagnostic
from specforge.language.messages.problems import CheckedTable
from specforge.language.messages.suggest import nearest
from specforge.language.plugins import BUILT_IN
from specforge.language.registry import AmbiguousComponentError, Match, Registry, UnknownComponentError, config_class
from specforge.language.schema.train import DEFAULT_VALID_SEARCH, TEXT_FREE_METRICS
from specforge.language.spec import Part
from specforge.language.validation import validate
from specforge.plugin import ComponentConfig, Kind, TaskConfig

if TYPE_CHECKING:
    from pydantic import JsonValue
    from pydantic_core import ErrorDetails

    from specforge.language.merge import Merged
    from specforge.language.spec import ValuePath

_TASK: Final = ("task",)
_VALID_SEARCH: Final = ("train", "valid_search")


@dataclass(slots=True)
class Components:
    """The component tables of a spec, looked up and checked.

    Args:
        parts: those that are right.
        tables: those whose component is known, with what was checked.
        columns: names of the task's columns; None when they are not known.
        judge: config of the metric that `train.best_metric` names; None where it names none.
        errors: what is wrong with the values of a table, for an explainer that knows all tables.
        diagnostics: names that stand for nothing, tables without a name, plugins that fail.
    """

    parts: dict[ValuePath, Part] = field(default_factory=dict)
    tables: list[CheckedTable] = field(default_factory=list)
    columns: tuple[str, ...] | None = None
    judge: type[ComponentConfig] | None = None
    errors: list[tuple[CheckedTable, Sequence[ErrorDetails]]] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def check_components(merged: Merged, registry: Registry) -> Components:
    """Check every component table of a spec, those that only the task's defaults ask for included."""
    found = Components()
    _check(found, merged, registry, "task", _TASK, None)
    task = found.tables[0].model if found.tables else None
    known = task if task is not None and issubclass(task, TaskConfig) else None
    for path, kind, default in _tables(merged, known):
        if task is not None or merged.holds((*path, "use")):  # else who knows what the task would take
            _check(found, merged, registry, kind, path, default)
    _check_best_metric(found, merged, registry)
    return found


def _tables(merged: Merged, task: type[TaskConfig] | None) -> Iterator[tuple[ValuePath, Kind, str | None]]:
    """Yield path, kind and default name of each component table that is written or has a default, the task's aside."""
    defaults: Mapping[Kind, str] = {} if task is None else task.defaults
    searches = task is None or task.searches
    for path, kind in COMPONENT_TABLES.items():
        if path == _VALID_SEARCH:
            decodes = merged.at(("train", "best_metric")) not in (
                None,
                *TEXT_FREE_METRICS,
            )  # a list cannot be looked up in a set
            if (decodes and searches) or merged.at(path) is not None:
                yield path, kind, DEFAULT_VALID_SEARCH
        elif path != _TASK and (merged.at(path) is not None or kind in defaults):
            yield path, kind, defaults.get(kind)
    for path, kind in COMPONENT_LISTS.items():
        elements = merged.at(path)
        if isinstance(elements, list):
            for index in range(len(elements)):
                yield (*path, index), kind, None
        elif elements is None and kind in defaults:
            yield (*path, 0), kind, defaults[kind]


def _check(
    found: Components, merged: Merged, registry: Registry, kind: Kind, path: ValuePath, default: str | None
) -> None:
    table = merged.at(path)
    if table is None and default is None:
        return  # required tables that are missing were found in the first phase
    if table is not None and not isinstance(table, dict):
        return  # its type was found wrong in the first phase
    values = {} if table is None else dict(table)
    name = values.pop("use", default)
    if ("use",) in merged.faulty(path):
        return  # found wrong when it was read
    if not isinstance(name, str):
        found.diagnostics.append(_no_name(merged, path, kind, name))
        return
    match = _looked_up(found, merged, registry, kind, path, name)
    if match is not None:
        _check_values(found, merged, path, values, match, default)


def _check_values(
    found: Components,
    merged: Merged,
    path: ValuePath,
    values: Mapping[str, JsonValue],
    match: Match,
    default: str | None,
) -> None:
    try:
        model = config_class(match.registered)
    except SpecforgeError as error:
        label = merged.label((*path, "use"))
        labels = () if label is None else (label,)
        found.diagnostics.append(Diagnostic(error.code, error.message, labels, error.notes, error.help))
        return
    found.diagnostics += _missing_packages(merged, path, match, model)
    over_preset = _over({} if match.preset is None else match.preset.values, values)
    checked = _checked_table(path, model, over_preset, match, default)
    found.tables.append(checked)
    try:
        outcome = validate(model, over_preset, merged.faulty(path))
        if outcome.value is not None and outcome.unknown_only and isinstance(outcome.value, TaskConfig):
            found.columns = tuple(column.name for column in outcome.value.columns())
    except Exception as error:  # a plugin's own check may raise anything
        if match.registered.distribution == BUILT_IN:
            raise
        found.diagnostics.append(_failed(merged, path, match, error))
        return
    if outcome.errors:
        found.errors.append((checked, outcome.errors))
    elif outcome.value is not None:
        found.parts[path] = Part(match.registered, outcome.value, checked.preset_name)


def _missing_packages(
    merged: Merged, path: ValuePath, match: Match, model: type[ComponentConfig]
) -> Iterator[Diagnostic]:
    """Yield the packages that a component needs and that are not installed."""
    for required in model.requires:
        if find_spec(required.module) is None:
            label = merged.label((*path, "use"), f"needs the package `{required.module}`")
            yield Diagnostic(
                "SF681",
                f"the {match.registered.component.kind} `{match.registered.component.name}` needs a package that is not installed",
                () if label is None else (label,),
                help=f"type `{required.install}`",
            )


def _looked_up(
    found: Components, merged: Merged, registry: Registry, kind: Kind, path: ValuePath, name: str
) -> Match | None:
    try:
        return registry.find(kind, name)
    except UnknownComponentError as error:
        code, message, words, help_text = _unknown(error, kind, name)
        notes = error.notes
    except AmbiguousComponentError as error:
        words = "say whose"
        code, message, notes, help_text = error.code, error.message, error.notes, error.help
    label = merged.label((*path, "use"), words) or merged.label(path, words)
    found.diagnostics.append(Diagnostic(code, message, () if label is None else (label,), notes, help_text))
    return None


def _unknown(error: UnknownComponentError, kind: Kind, name: str) -> tuple[str, str, str, str | None]:
    """Return code, message, label and help for a name that stands for nothing."""
    if any(name.startswith(f"{plugin.distribution}/") for plugin in error.broken):
        return "SF203", f"the {kind} `{printable(name)}` is of a broken plugin", "its plugin cannot be loaded", None
    from specforge.language.messages.synonyms import OUR_VALUES  # only where something is wrong

    message = f"unknown {kind} `{printable(name)}`"
    ours = OUR_VALUES.get(name.lower())
    if ours in error.known:
        return "SF201", message, f"here it is called `{ours}`", f"`specforge components {kind} {ours}` describes it"
    if error.suggestion is not None:
        help_text = f"`specforge components {kind}` lists what there is"
        return "SF201", message, f"did you mean `{error.suggestion}`?", help_text
    return "SF201", message, f"no {kind} has this name", f"known are {', '.join(error.known)}" if error.known else None


def _check_best_metric(found: Components, merged: Merged, registry: Registry) -> None:
    """Check that validation can be judged by what the spec says: the loss, or a metric with its default options."""
    path = ("train", "best_metric")
    name = merged.at(path)
    if not isinstance(name, str) or name in TEXT_FREE_METRICS:
        return
    try:
        found.judge = config_class(registry.find("metric", name).registered)
    except (UnknownComponentError, AmbiguousComponentError) as error:
        known = (*TEXT_FREE_METRICS, *(error.known if isinstance(error, UnknownComponentError) else error.candidates))
        near = nearest(name, known)
        label = merged.label(path, f"did you mean `{near}`?" if near else "no metric has this name")
        message = f"`best_metric` is no metric: `{printable(name)}`"
        labels = () if label is None else (label,)
        found.diagnostics.append(Diagnostic("SF302", message, labels, error.notes, f"known are {', '.join(known)}"))


def _no_name(merged: Merged, path: ValuePath, kind: Kind, name: JsonValue) -> Diagnostic:
    table = wording.table_name(path)
    if merged.holds((*path, "use")):
        label = merged.label((*path, "use"), f"this is {wording.found(name)}")
        return Diagnostic("SF103", f"`use` in {table} must be a string", () if label is None else (label,))
    help_text = f"`specforge components {kind}` lists what there is"
    meant = _meant_for_use(merged.at(path))
    if meant is not None:
        named = merged.label((*path, meant), "here it is called `use`", key=True)
        labels = () if named is None else (named,)
        return Diagnostic("SF101", f"unknown key `{printable(meant)}` in {table}", labels, help=help_text)
    label = merged.missing_label(path, "`use` is required")
    return Diagnostic("SF102", f"missing key `use` in {table}", (label,), help=help_text)


def _meant_for_use(table: JsonValue) -> str | None:
    """Return the key that names the component as other tools call it."""
    from specforge.language.messages.synonyms import NAMES_OF_USE  # only where something is wrong

    keys = table if isinstance(table, dict) else ()
    return next(
        (key for key in keys if key.lower().strip("-").replace("-", "_") in {*NAMES_OF_USE, "use", "uses"}), None
    )


def _checked_table(
    path: ValuePath, model: type[ComponentConfig], values: JsonValue, match: Match, default: str | None
) -> CheckedTable:
    registered, preset = match.registered, match.preset
    kind, name = registered.component.kind, registered.component.name
    owner = f"from {registered.distribution} {registered.distribution_version}"
    if registered.distribution == BUILT_IN:
        owner = "built in"
    by_preset = "" if preset is None else f", preset `{preset.name}`"
    return CheckedTable(
        path,
        model,
        values,
        notes=(f"{wording.table_name(path)} is `{name}`{by_preset} ({owner})",),
        help=f"`specforge components {kind} {name}` lists its keys",
        preset={} if preset is None else preset.values,
        preset_name=None if preset is None else preset.name,
        source=registered.identity,
        default_use=default,
        migrations=match.migrations,
    )


def _failed(merged: Merged, path: ValuePath, match: Match, error: Exception) -> Diagnostic:
    registered = match.registered
    label = merged.label((*path, "use"))
    return Diagnostic(
        "SF210",
        f"the {registered.component.kind} `{registered.qualified}` failed while its values were checked",
        () if label is None else (label,),
        (f"{type(error).__name__}: {error}",),
        f"this is a fault of {registered.distribution} {registered.distribution_version}, tell its authors",
    )


def _over(below: Mapping[str, JsonValue], above: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a preset's values with the spec's on top; tables merge."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
