"""Keys: what a result is called, known before anything runs.

A key is the SHA-256 of the canonical JSON of what a step reads: the identity fields of its config, the digests of its
inputs by role, the keys of the steps that it needs, and its components with their declared versions. No paths, names,
hosts, devices or package versions. Which fields count is said where they are declared (`specforge.plugin.marked`): all of
them but `identity=False`, and a field with a neutral value only while it has another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from pydantic import BaseModel, JsonValue

from specforge.foundation.canonical import canonical_json, digest_json
from specforge.planning.plan import InputFile, StepKind
from specforge.plugin import Marker

KEY_FORMAT: Final = 1
"""Number of the recipe below; raised when it changes, which gives every result another key."""

Values: TypeAlias = dict[str, JsonValue]

_PLAIN: Final = Marker()


def identity_values(config: BaseModel, *, growing: bool = True) -> Values:
    """Return the fields of a config that its results depend on, as JSON.

    Args:
        config: a component's config or a fixed table; tables inside it are treated alike.
        growing: whether to keep the fields that may grow without starting over (`continues`).
    """
    fields = type(config).model_fields
    dumped: Values = config.model_dump(mode="json")
    return {
        name: _projected(getattr(config, name), value, growing=growing)
        for name, value in dumped.items()
        if _counts(_marker(fields[name].metadata), value, growing=growing)
    }


def _marker(metadata: Iterable[object]) -> Marker:
    return next((item for item in metadata if isinstance(item, Marker)), _PLAIN)


def _counts(marker: Marker, value: JsonValue, *, growing: bool) -> bool:
    if not marker.identity or (marker.continues and not growing):
        return False
    return not (marker.has_neutral and _same(value, marker.neutral))


def _same(left: JsonValue, right: JsonValue) -> bool:
    # by their canonical form: to Python True equals 1, and a key must tell them apart
    return canonical_json(_plain_numbers(left)) == canonical_json(_plain_numbers(right))


def _projected(value: object, dumped: JsonValue, *, growing: bool) -> JsonValue:
    """Return a field's JSON, with the markers of tables inside it obeyed."""
    match value, dumped:
        case BaseModel(), _:
            return identity_values(value, growing=growing)
        case ((list() | tuple()), list()):
            return [_projected(*pair, growing=growing) for pair in zip(value, dumped, strict=True)]
        case ((set() | frozenset()), list()):
            return sorted((_plain_numbers(item) for item in dumped), key=canonical_json)
        case dict(), dict():
            pairs = zip(value.values(), dumped.items(), strict=True)
            return {name: _projected(item, form, growing=growing) for item, (name, form) in pairs}
        case _:
            return _plain_numbers(dumped)


def _plain_numbers(value: JsonValue) -> JsonValue:
    """Write whole floats as integers: a float field holds 0 by its default and 0.0 once a spec has said so."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list():
            return [_plain_numbers(item) for item in value]
        case dict():
            return {name: _plain_numbers(item) for name, item in value.items()}
        case _:
            return value


def step_key(
    kind: StepKind,
    config: Mapping[str, JsonValue],
    components: Mapping[str, str],
    inputs: Iterable[InputFile],
    needs: Mapping[str, str],
) -> str:
    """Return the key of a step.

    Args:
        kind: which code runs it; its id is a name for people (a test set may be renamed).
        config: its identity config.
        components: table path → `distribution/name@version`.
        inputs: the data files that it reads.
        needs: kind → key of each step whose result it reads.
    """
    return digest_json(_material(kind, config, components, inputs) | {"needs": dict(needs)})


def made_from(
    kind: StepKind,
    config: Mapping[str, JsonValue],
    components: Mapping[str, str],
    inputs: Iterable[InputFile],
    outputs: Mapping[str, str],
) -> str:
    """Return a digest of what a result is really made from, once the results that it reads are there.

    Two steps that agree in it have the same result although their keys differ: early cut-off. Two results of one key
    that differ in it were made from different runs of the steps above them.

    Args:
        kind: as in `step_key`.
        config: as in `step_key`.
        components: as in `step_key`.
        inputs: as in `step_key`.
        outputs: kind → digest of the outputs of each step whose result it reads.
    """
    return digest_json(_material(kind, config, components, inputs) | {"outputs": dict(outputs)})


def _material(
    kind: StepKind, config: Mapping[str, JsonValue], components: Mapping[str, str], inputs: Iterable[InputFile]
) -> Values:
    return {
        "format": KEY_FORMAT,
        "kind": kind,
        "config": dict(config),
        "components": dict(components),
        "inputs": {file.role: file.digest for file in inputs},
    }


def outputs_digest(manifest: Mapping[str, JsonValue]) -> str:
    """Return the digest of everything that a published result holds, from its manifest."""
    return digest_json(manifest["files"])
