"""Whether the weights of one model fit another: tensor by tensor, by name and shape. Nothing is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import JsonValue

from specforge.planning.comparison.difference import FieldChange
from specforge.planning.world import Manifest

Shapes: TypeAlias = Mapping[str, Sequence[int]]
"""Name of each tensor of a model's weights, as they are saved → its shape."""


@dataclass(frozen=True, slots=True)
class Reshaped:
    """A tensor with another shape in each model."""

    name: str
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """How the weights of one model fit another.

    Args:
        alike: number of tensors with one name and shape in both.
        reshaped: those of one name and two shapes.
        only_before: names of those that only the first model has.
        only_after: names of those that only the second has.
    """

    alike: int
    reshaped: tuple[Reshaped, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def loads(self) -> bool:
        """Whether every tensor finds its place."""
        return not (self.reshaped or self.only_before or self.only_after)

    @property
    def needed(self) -> int:
        """Number of tensors of the second model."""
        return self.alike + len(self.reshaped) + len(self.only_after)


def fit(before: Shapes, after: Shapes) -> Fit:
    """Compare two models."""
    common = [name for name in before if name in after]
    reshaped = tuple(
        Reshaped(name, tuple(before[name]), tuple(after[name]))
        for name in common
        if list(before[name]) != list(after[name])
    )
    return Fit(
        len(common) - len(reshaped),
        reshaped,
        tuple(name for name in before if name not in after),
        tuple(name for name in after if name not in before),
    )


@dataclass(frozen=True, slots=True)
class Loading:
    """Whether a checkpoint of the first spec loads in the second.

    Args:
        fit: their tensors.
        vocabulary: role → types in each of them, where these differ.
        by_vocabulary: how many tensors the other sizes of the vocabulary alone reshape.
        causes: the fields that, taken alone, reshape, add or drop tensors; those that change the vocabulary included.
        same_text: whether both cut text alike and number the pieces alike; None where that is not known yet.
        guessed: for each of them, whether the size of its vocabulary is a guess.
    """

    fit: Fit
    vocabulary: Mapping[str, tuple[int, int]]
    by_vocabulary: int
    causes: tuple[FieldChange, ...]
    same_text: bool | None
    guessed: tuple[bool, bool] = (False, False)

    @property
    def loads(self) -> bool | None:
        """Whether every tensor finds its place; None where only a guessed size of a vocabulary stands against it."""
        found = self.fit
        by_guess = any(self.guessed) and self.by_vocabulary == len(found.reshaped)
        return None if not found.loads and by_guess and not (found.only_before or found.only_after) else found.loads


def same_vocabulary(before: Manifest | None, after: Manifest | None) -> bool | None:
    """Return whether two results of preprocess have equal vocabularies and tokenizers; None where one is not there."""
    if before is None or after is None:
        return None
    return _text_files(before) == _text_files(after)


def _text_files(manifest: Manifest) -> dict[str, JsonValue]:
    files, config = manifest["files"], manifest["config"]
    assert isinstance(files, dict)
    assert isinstance(config, dict)
    kept = {name: facts for name, facts in files.items() if name.startswith(("vocabulary.", "tokenizer/"))}
    return {"files": kept, "tokenizer": config.get("tokenizer"), "components": manifest.get("components")}


def same_validation_text(before: Manifest | None, after: Manifest | None) -> bool | None:
    """Return whether two results of preprocess validate with the same text; None where one is not there."""
    if before is None or after is None:
        return None
    return _validation_text(before) == _validation_text(after)


def _validation_text(manifest: Manifest) -> dict[str, JsonValue]:
    files = manifest["files"]
    assert isinstance(files, dict)
    return {name: facts for name, facts in files.items() if name.startswith("valid.") and name.endswith(".txt")}
