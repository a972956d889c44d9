"""Where a spec names components: tables, lists of tables, and values that are a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from specforge.plugin import Kind

COMPONENT_TABLES: Final[dict[tuple[str, ...], Kind]] = {
    ("task",): "task",
    ("tokenizer",): "tokenizer",
    ("model",): "model",
    ("criterion",): "criterion",
    ("optimizer",): "optimizer",
    ("lr_scheduler",): "lr_scheduler",
    ("train", "valid_search"): "search",
    ("generate", "search"): "search",
}
"""Path of each table that names a component → its kind."""

COMPONENT_LISTS: Final[dict[tuple[str, ...], Kind]] = {
    ("generate", "metrics"): "metric",
    ("run", "trackers"): "tracker",
}
"""Path of each list whose elements are such tables → their kind."""

_NAMES: Final[dict[tuple[str, ...], Kind]] = {("train", "best_metric"): "metric"}
"""Path of each value that names a component by itself, with its default options → its kind."""


def component_kind(path: Sequence[str | int]) -> Kind | None:
    """Return the kind of the component that is named at a path of the normalised tree; None where none is."""
    *around, last = names = tuple(map(str, path))
    if last.isdecimal():
        return COMPONENT_LISTS.get(tuple(around))
    return {**COMPONENT_TABLES, **_NAMES}.get(names)
