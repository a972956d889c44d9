"""Results that planning may find, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import JsonValue

from specforge.planning.world import Manifest


class Shelf:
    """Manifests of results by kind and key, and those of checkpoints by trajectory."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], dict[str, JsonValue]] = {}
        self.training: dict[str, list[Manifest]] = {}

    def manifest(self, kind: str, key: str) -> Manifest | None:
        """Return a result's manifest."""
        return self.results.get((kind, key))

    def manifests(self, kind: str) -> Iterable[tuple[str, Manifest]]:
        """Return all of a kind, by key."""
        return [(key, manifest) for (of, key), manifest in sorted(self.results.items()) if of == kind]

    def checkpoints(self, trajectory: str) -> Iterable[Manifest]:
        """Return those of a training."""
        return self.training.get(trajectory, [])
