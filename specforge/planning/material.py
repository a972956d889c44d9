"""What a step is made from, next to what an earlier result was made from: the differences that gave them other keys.

The reasons in a plan, `explain STEP` and the comparison with the last plan all name differences by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import JsonValue

from specforge.language.merge import leaves
from specforge.language.spec import ValuePath
from specforge.planning.plan import Step
from specforge.planning.world import Manifest

Change: TypeAlias = Literal["changed", "added", "removed"]

_TRAIN: Final = ("data", "train")
_VALID_SEARCH: Final = ("train", "valid_search")


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field of the identity config that differs.

    Args:
        change: whether both have it; a corpus that is added or removed is one difference, with its paths as values.
        path: where the spec has it, or would.
        before: what it was; None is unset, or not there.
        after: what it is.
    """

    change: Change
    path: ValuePath
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True, slots=True)
class ComponentDifference:
    """Another component, or another version of one.

    Args:
        path: its table.
        before, after: `distribution/name@version`, or None where there was or is no such table.
    """

    change: Change
    path: ValuePath
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A data file as a result was made from it.

    Args:
        path: where it lies or lay.
        digest: SHA-256 of the decompressed bytes.
        lines: number of lines.
        size: in bytes, as it lies on the disk; None where nobody wrote it down.
    """

    path: str
    digest: str
    lines: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class InputDifference:
    """Other data in a role.

    Args:
        role: what the file is to the step.
        before, after: None where there was or is no such file.
    """

    change: Change
    role: str
    before: FileRecord | None
    after: FileRecord | None


OwnDifference: TypeAlias = FieldDifference | ComponentDifference | InputDifference


@dataclass(frozen=True, slots=True)
class Material:
    """What a result is made from, the results of other steps aside.

    Args:
        config: path in the spec → value, of each field that counts.
        components: path of the table → `distribution/name@version`.
        inputs: role → file.
    """

    config: Mapping[ValuePath, JsonValue]
    components: Mapping[ValuePath, str]
    inputs: Mapping[str, FileRecord]


def size_on_disk(path: Path) -> int | None:
    """Return the size of a file in bytes, compressed as it lies there, or None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def material_of_step(step: Step) -> Material:
    """Return what a planned step is made from."""
    files = {
        file.role: FileRecord(str(file.path), file.digest, file.lines, size_on_disk(file.path)) for file in step.inputs
    }
    return Material(_fields(step.config), _tables(step.components), files)


def material_of_result(manifest: Manifest) -> Material:
    """Return what a result was made from, by its manifest."""
    components, inputs = manifest.get("components"), manifest.get("inputs")
    records = [item for item in inputs if isinstance(item, dict)] if isinstance(inputs, list) else []
    return Material(
        _fields(_mapping(manifest.get("config"))),
        _tables({table: str(identity) for table, identity in _mapping(components).items()}),
        {str(item.get("role")): _record(item) for item in records},
    )


def differences(before: Material, after: Material) -> tuple[OwnDifference, ...]:
    """Return the smallest set of differences: what another component or corpus brings along is not counted again."""
    components = tuple(_component_differences(before, after))
    replaced = [difference.path for difference in components if _name(difference.before) != _name(difference.after)]
    corpora = tuple(_corpus_differences(before, after))
    covered = [*replaced, *(difference.path for difference in corpora)]
    if _follows_from_metric(before, after):
        covered.append(_VALID_SEARCH)
    fields = (
        difference
        for difference in _field_differences(before.config, after.config)
        if not any(difference.path[: len(path)] == path for path in covered)
    )
    numbers = {str(difference.path[2]) for difference in corpora}
    inputs = (
        difference
        for difference in _input_differences(before.inputs, after.inputs)
        if not (difference.role.startswith("train/") and difference.role.split("/")[1] in numbers)
    )
    return (*components, *fields, *corpora, *inputs)


def _component_differences(before: Material, after: Material) -> Iterator[ComponentDifference]:
    for path in {**after.components, **before.components}:
        old, new = (_chosen(material, path) for material in (before, after))
        if old != new and not (path == _VALID_SEARCH and _follows_from_metric(before, after)):
            yield ComponentDifference(_change(old is not None, new is not None), path, old, new)


def _follows_from_metric(before: Material, after: Material) -> bool:
    """Return whether only one of the two has a search for validation: there is one where the metric needs text."""
    return (_VALID_SEARCH in before.components) != (_VALID_SEARCH in after.components)


def _chosen(material: Material, path: ValuePath) -> str | None:
    """Return what stands in a component's place: its identity, or a word that needs no component, like `loss`."""
    word = material.config.get(path)
    return material.components.get(path) or (word if isinstance(word, str) else None)


def _field_differences(
    before: Mapping[ValuePath, JsonValue], after: Mapping[ValuePath, JsonValue]
) -> Iterator[FieldDifference]:
    for path in {**after, **before}:
        old, new = before.get(path), after.get(path)
        if old != new or (path in before) != (path in after):
            yield FieldDifference(_change(path in before, path in after), path, old, new)


def _corpus_differences(before: Material, after: Material) -> Iterator[FieldDifference]:
    """Yield the training corpora that only one of the two has."""
    old, new = (_corpora(material) for material in (before, after))
    for number in sorted(old.keys() ^ new.keys()):
        change = _change(number in old, number in new)
        yield FieldDifference(change, (*_TRAIN, number), old.get(number), new.get(number))


def _corpora(material: Material) -> dict[int, JsonValue]:
    """Return number → path of each training corpus, as far as the step reads its files."""
    corpora: dict[int, JsonValue] = {
        int(path[2]): None for path in material.config if path[:2] == _TRAIN and isinstance(path[2], int)
    }
    for number in corpora:
        roles = [role for role in material.inputs if role.split("/")[:2] == ["train", str(number)]]
        corpora[number] = material.inputs[roles[0]].path if roles else None
    return corpora


def _input_differences(before: Mapping[str, FileRecord], after: Mapping[str, FileRecord]) -> Iterator[InputDifference]:
    for role in {**after, **before}:
        old, new = before.get(role), after.get(role)
        if old is None or new is None or old.digest != new.digest:
            yield InputDifference(_change(role in before, role in after), role, old, new)


def _change(was: bool, is_there: bool) -> Change:  # noqa: FBT001  # two facts of equal rank
    return "changed" if was and is_there else "added" if is_there else "removed"


def _name(identity: str | None) -> str | None:
    """Return which component an identity is of, whatever its version."""
    return None if identity is None else identity.partition("@")[0]


def _fields(config: Mapping[str, JsonValue]) -> dict[ValuePath, JsonValue]:
    return dict(leaves(dict(config)))


def _tables(components: Mapping[str, str]) -> dict[ValuePath, str]:
    return {
        tuple(int(name) if name.isdecimal() else name for name in table.split(".")): identity
        for table, identity in components.items()
    }


def _record(item: Mapping[str, JsonValue]) -> FileRecord:
    lines, size = item.get("lines"), item.get("size")
    return FileRecord(
        str(item.get("path")),
        str(item.get("digest")),
        lines if isinstance(lines, int) else None,
        size if isinstance(size, int) else None,
    )


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}
