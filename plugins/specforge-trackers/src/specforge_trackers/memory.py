"""What a training is called elsewhere, kept in the tracker's own folder, so that a later start finds it again."""

from __future__ import annotations

from pathlib import Path


class Memory:
    """The name of one training elsewhere.

    Args:
        folder: the tracker's.
        training: id of the training.
    """

    def __init__(self, folder: Path, training: str) -> None:
        self._path = folder / f"{training}.id"

    def recall(self) -> str | None:
        """Return the name, or None for a training that has none yet."""
        return self._path.read_text().strip() if self._path.exists() else None

    def keep(self, name: str) -> None:
        """Remember the name."""
        self._path.write_text(f"{name}\n")
