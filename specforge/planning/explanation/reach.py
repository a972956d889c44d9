"""How far a value reaches: which steps' keys hold it, found by changing it and drafting the steps again.

Nothing here knows which step reads which field, so the answer cannot differ from what the keys do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from specforge.language.spec import ValuePath
from specforge.planning.comparison.variation import Variant
from specforge.planning.explanation.alteration import altered
from specforge.planning.steps import Draft, draft_steps


@dataclass(frozen=True, slots=True)
class Reach:
    """Which steps a value reaches.

    Args:
        own: ids of the steps whose own part of the key holds it: a change of it changes what they are asked to do.
        below: ids of the steps that only read what these make.
        goes_on: whether training goes on where it stopped when the value grows, instead of starting over.
    """

    own: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    goes_on: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Ids of all steps whose keys change with the value."""
        return (*self.own, *self.below)


def reach(path: ValuePath, variant: Variant) -> Reach:
    """Return how far a value reaches.

    Args:
        path: of a leaf of the tree, of a table or of a list; of these, of all that they hold.
        variant: the spec and its data files.
    """
    before = draft_steps(variant.spec, variant.inputs)
    own: set[str] = set()
    goes_on = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic warns when it writes a value that its own field would not allow
        for changed in altered(path, variant):
            after = draft_steps(changed.spec, changed.inputs)
            own |= _moved(before, after)
            goes_on = goes_on and _steady(before) == _steady(after)
    return Reach(
        tuple(draft.id for draft in before if draft.id in own),
        tuple(_below(before, own)),
        goes_on and own == {"train"},
    )


def _moved(before: Sequence[Draft], after: Sequence[Draft]) -> set[str]:
    old, new = ({draft.id: _material(draft) for draft in drafts} for drafts in (before, after))
    return {identifier for identifier in old if old[identifier] != new.get(identifier)}


def _material(draft: Draft) -> tuple[object, ...]:
    """Return what a key is made from, the keys of other steps aside."""
    return draft.config, draft.components, {file.role: file.digest for file in draft.inputs}


def _steady(drafts: Iterable[Draft]) -> tuple[object, ...]:
    return tuple((draft.steady, draft.components) for draft in drafts if draft.kind == "train")


def _below(drafts: Iterable[Draft], own: set[str]) -> Iterator[str]:
    reached = set(own)
    for draft in drafts:
        if draft.id not in reached and not reached.isdisjoint(draft.needs):
            reached.add(draft.id)
            yield draft.id
