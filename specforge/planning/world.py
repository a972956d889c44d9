"""What planning must know of the world: the data files and the results that are there.

Protocols only. `specforge.storage` implements them; planning depends on no store, so that a plan can be made and tested
without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from pydantic import JsonValue

Manifest: TypeAlias = Mapping[str, JsonValue]


class FileFacts(Protocol):
    """What a data file holds."""

    @property
    def digest(self) -> str:
        """SHA-256 of the decompressed bytes."""

    @property
    def lines(self) -> int:
        """Number of lines."""

    @property
    def crlf(self) -> int:
        """Number of lines that end in CR LF."""


class Files(Protocol):
    """The data files."""

    def inspect(self, path: Path) -> FileFacts:
        """Return what a file holds.

        Raises:
            WrongInputError: it cannot be read as text, or is empty.
        """


@dataclass(frozen=True, slots=True)
class _Unread:
    digest: str = ""
    lines: int = 0
    crlf: int = 0


class UnreadFiles:
    """A world in which no data file is read: for what does not depend on what they hold."""

    def inspect(self, path: Path) -> FileFacts:
        """Return the same facts for every file."""
        del path
        return _Unread()


class Results(Protocol):
    """The results that are there already."""

    def manifest(self, kind: str, key: str) -> Manifest | None:
        """Return the manifest of a result, or None when there is none."""

    def manifests(self, kind: str) -> Iterable[tuple[str, Manifest]]:
        """Return key and manifest of every result of a kind, sorted by key."""

    def checkpoints(self, trajectory: str) -> Iterable[Manifest]:
        """Return the manifests of a training's checkpoints, in the order of their updates."""
