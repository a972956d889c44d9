"""The store: results under their keys, unfinished training, locks, and folders for people.

- `objects/KIND/KEY/`: a result; its manifest is written last and is the only definition of done
- `work/train/TRAJECTORY/`: checkpoints of a training, whatever its budget
- `tmp/`: what is being made; swept when its lock is free
- `locks/`: one file for each lock
- `runs/NAME/`: links and logs for people
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError, EnvironmentFaultError, Place

STORE_FOLDER: Final = ".specforge"
VARIABLE: Final = "SPECFORGE_STORE"


def locate(spec: Path, option: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the store of a spec is, absolute: the option, the variable, else near the spec.

    Near is `.specforge` in the nearest folder above the spec that has one or is the root of a git repository, else
    beside the spec.

    Raises:
        EnvironmentFaultError: SF601, what is named is there and is no folder.
    """
    named = option or environment.get(VARIABLE)
    if named:
        folder = Path(named).absolute()
        if folder.exists() and not folder.is_dir():
            raise EnvironmentFaultError("SF601", "the store is not a folder", place=Place(str(folder)))
        return folder
    home = spec.resolve().parent
    for folder in (home, *home.parents):
        if (folder / STORE_FOLDER).is_dir() or (folder / ".git").exists():
            return folder / STORE_FOLDER
    return home / STORE_FOLDER


class Store:
    """A store on disk. Reading one that does not exist finds nothing; `create` makes it.

    Args:
        root: its folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self) -> None:
        """Make the folders that are missing, so that a store that cannot be written is refused before any work."""
        for name in ("objects", "work", "tmp", "locks", "runs"):
            durable.make_folder(self.root / name)
        ignored = self.root / ".gitignore"
        if not ignored.exists():
            durable.replace_file(ignored, b"*\n")

    def result(self, kind: str, key: str) -> Path:
        """Return where a result lies once it is there."""
        return self.root / "objects" / kind / key

    def manifest(self, kind: str, key: str) -> dict[str, JsonValue] | None:
        """Return the manifest of a result, or None when there is none."""
        return durable.read_manifest(self.result(kind, key))

    def manifests(self, kind: str) -> Iterator[tuple[str, dict[str, JsonValue]]]:
        """Yield key and manifest of every result of a kind, sorted by key; a broken one is left out."""
        for name in _names(self.root / "objects" / kind):
            manifest = _manifest_if_whole(self.result(kind, name))
            if manifest is not None:
                yield name, manifest

    def work(self, trajectory: str) -> Path:
        """Return the working folder of a training."""
        return self.root / "work" / "train" / trajectory

    def checkpoints(self, trajectory: str) -> list[dict[str, JsonValue]]:
        """Return the manifests of a training's checkpoints, in the order of their updates; a broken one is left out."""
        folder = self.work(trajectory) / "checkpoints"
        names = [name for name in _names(folder) if not name.startswith(durable.CORRUPT)]
        manifests = [_manifest_if_whole(folder / name) for name in names]
        found = [
            manifest for manifest in manifests if manifest is not None and isinstance(manifest.get("updates"), int)
        ]
        return sorted(found, key=_updates)

    def run_folder(self, name: str) -> Path:
        """Return the folder for people of a run."""
        return self.root / "runs" / name

    def lock(self, name: str) -> Path:
        """Return the lock file of this name."""
        return self.root / "locks" / name

    def scratch(self, lock: str) -> Path:
        """Create and return a private folder for work under a lock; it is swept once that lock is free."""
        return durable.temporary_folder(self.root / "tmp", lock)

    def sweep(self) -> None:
        """Remove what killed runs left in tmp. Whatever belongs to a lock that is held stays."""
        from specforge.storage.locks import try_lock  # fcntl is missing where only plans are made

        for name in _names(self.root / "tmp"):
            held = try_lock(self.lock(name.removeprefix(durable.REMOVED).partition(".")[0]))
            if held is None:
                continue
            try:
                if (self.root / "tmp" / name).exists():
                    durable.remove_folder(self.root / "tmp" / name)
            finally:
                os.close(held)


def _manifest_if_whole(folder: Path) -> dict[str, JsonValue] | None:
    """Return a manifest that nobody depends on; whoever does will be told that it is broken."""
    try:
        return durable.read_manifest(folder)
    except CorruptStateError:
        return None


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in durable.folders(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _updates(manifest: Mapping[str, JsonValue]) -> int:
    updates = manifest["updates"]
    assert isinstance(updates, int)
    return updates
