"""Results for plans that are made and never run."""

from __future__ import annotations

from collections.abc import Iterable

from specforge.planning.world import Manifest


class NoResults:
    """Results of a world in which nothing has run."""

    def manifest(self, kind: str, key: str) -> Manifest | None:
        """Return None."""
        del kind, key
        return None

    def manifests(self, kind: str) -> Iterable[tuple[str, Manifest]]:
        """Return nothing."""
        del kind
        return ()

    def checkpoints(self, trajectory: str) -> Iterable[Manifest]:
        """Return nothing."""
        del trajectory
        return ()
