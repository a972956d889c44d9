"""What a disk may hold after a power loss: what was synced, and any part of what was not.

A file that was not synced since it was written may be gone, empty, full of zeros, cut off, or whole; what was synced before more
was appended to it stays. Names that were
created, changed or removed since their folder was synced may have stayed as they were before. `Recorder` notes after every operation what
is there and what is safe; `images` makes folders as a power loss at that moment could leave them.

The model follows what POSIX promises and ALICE (Pillai et al. 2014) found file systems to do: only `fsync` makes content
safe, and only `fsync` of the folder makes a name safe.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from operations import Operation, Watcher

Number: TypeAlias = int
"""Of a file or folder on the real disk (its inode)."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The disk after one operation.

    Args:
        operation: the operation; None at the beginning.
        folders: folder → its entries, name → file or folder.
        files: file → its content.
        links: symbolic link → its target, of removed ones too.
        safe_folders: folder → the entries that a power loss leaves.
        safe_files: file → the content that a power loss leaves.
        committed: number of the moment at which a folder was synced last.
    """

    operation: Operation | None
    folders: dict[Number, dict[str, Number]]
    files: dict[Number, bytes]
    links: dict[Number, str]
    safe_folders: dict[Number, dict[str, Number]]
    safe_files: dict[Number, bytes]
    committed: int


@dataclass
class Recorder(Watcher):
    """Notes what is on disk below a folder after every operation; what is there at the beginning is safe."""

    root: Path
    moments: list[Moment] = field(default_factory=list)
    held: dict[Number, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folders, files, links = self._look()
        self._safe_folders, self._safe_files, self._links = dict(folders), dict(files), dict(links)
        self.moments.append(Moment(None, folders, files, links, dict(folders), dict(files), 0))

    def after(self, operation: Operation) -> None:
        folders, files, links = self._look()
        self._links |= links
        committed = self.moments[-1].committed
        if operation.kind == "fsync":
            number = os.stat(operation.path).st_ino
            if number in folders:
                self._safe_folders[number] = folders[number]
                committed = len(self.moments)
            elif number in files:
                self._safe_files[number] = files[number]
        self.moments.append(
            Moment(
                operation,
                folders,
                files,
                dict(self._links),
                dict(self._safe_folders),
                dict(self._safe_files),
                committed,
            )
        )

    def close(self) -> None:
        """Let go of what was removed."""
        while self.held:
            os.close(self.held.popitem()[1])

    def _look(self) -> tuple[dict[Number, dict[str, Number]], dict[Number, bytes], dict[Number, str]]:
        folders: dict[Number, dict[str, Number]] = {}
        files: dict[Number, bytes] = {}
        links: dict[Number, str] = {}
        waiting = [self.root]
        while waiting:
            folder = waiting.pop()
            entries = folders.setdefault(folder.stat().st_ino, {})
            for entry in os.scandir(folder):
                entries[entry.name] = entry.inode()
                if entry.inode() not in self.held:  # as long as it is open, its number goes to no other file
                    self.held[entry.inode()] = os.open(entry.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                if entry.is_symlink():
                    links[entry.inode()] = os.readlink(entry.path)
                elif entry.is_dir():
                    waiting.append(Path(entry.path))
                else:
                    files[entry.inode()] = Path(entry.path).read_bytes()
        return folders, files, links


def images(recorder: Recorder, number: int, place: Path, choices: random.Random, count: int) -> Iterator[Path]:
    """Make folders as a power loss at one moment could leave them.

    Args:
        recorder: what was noted.
        number: of the moment, from 0 for the beginning.
        place: an empty folder; each image is made in it under its number.
        choices: of what survives.
        count: of images. The first keeps only what is safe; the second all names, and only safe content; the third
            everything. In the others names are as they were at some moment since a folder was synced last (a journal keeps
            their order), and what is in a file that was not synced is anything.
    """
    now = recorder.moments[number]
    root = recorder.root.stat().st_ino
    for image in range(count):
        past = recorder.moments[choices.randint(now.committed, number)]
        folders = {0: now.safe_folders, 1: now.folders, _EVERYTHING: now.folders}.get(image, past.folders)
        _Image(now, folders, image, choices).write(root, place / str(image))
        yield place / str(image)


_EVERYTHING: Final = 2


@dataclass
class _Image:
    """One way in which the disk may come back."""

    moment: Moment
    folders: dict[Number, dict[str, Number]]
    number: int
    choices: random.Random

    def write(self, folder: Number, path: Path) -> None:
        path.mkdir()
        for name, entry in sorted(self.folders.get(folder, {}).items()):
            if entry in self.moment.links:
                (path / name).symlink_to(self.moment.links[entry])
            elif entry in self.folders or entry in self.moment.folders:
                self.write(entry, path / name)
            else:
                (path / name).write_bytes(self._content(entry))

    def _content(self, file: Number) -> bytes:
        safe = self.moment.safe_files.get(file, b"")
        present = self.moment.files.get(file, safe)
        if safe == present or self.number in {0, 1}:
            return safe
        if self.number == _EVERYTHING:
            return present
        kept = safe if present.startswith(safe) else b""
        cut = self.choices.randrange(len(kept), len(present) + 1)
        return self.choices.choice([safe, present, present[:cut], kept + bytes(len(present) - len(kept))])
