"""What the storage module promises of each thing it does, at every moment at which the power may fail.

A promise: something is done while a recorder watches; every image of the disk, after every operation, holds the state
before or the state after, whole; and once it is done, no image holds the state before.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from disk import Recorder, images
from operations import watched

from specforge.foundation import durable
from specforge.foundation.errors import CorruptStateError

State = Callable[[Path], str]
"""Says in a word what a folder holds: `old`, `new`, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that the storage module does.

    Args:
        before: fills the folder.
        action: what is done in it.
        state: what it holds.
        lasting: whether it stays done; what was removed may come back after a power loss, whole.
    """

    before: Callable[[Path], None]
    action: Callable[[Path], None]
    state: State
    lasting: bool = True


def broken(promise: Promise, folder: Path, images_each: int = 12) -> str | None:
    """Return how a promise is broken, or None.

    Args:
        promise: what is promised.
        folder: an empty folder to work in.
        images_each: images of the disk after each operation.
    """
    root = folder / "root"
    root.mkdir()
    promise.before(root)
    recorder = Recorder(root)
    with watched(root, recorder):
        promise.action(root)
    if len(recorder.moments) == 1:
        return "nothing was done"
    choices = random.Random(1)
    for number, moment in enumerate(recorder.moments):
        done = promise.lasting and number == len(recorder.moments) - 1
        place = folder / f"images-{number}"
        place.mkdir()
        for image in images(recorder, number, place, choices, images_each):
            state = promise.state(image)
            if state != "new" and (done or state != "old"):
                return f"after {moment.operation}: image {image.name} holds {state}"
    recorder.close()
    return None


def _publish(root: Path) -> None:
    temporary = durable.temporary_folder(root / "tmp", "key")
    durable.write_file(temporary / "weights", b"weights" * 10)
    durable.write_file(durable.make_folder(temporary / "tokenizer") / "pieces", b"pieces" * 10)
    durable.publish(temporary, root / "objects" / "key", {"kind": "test"})


def _published(root: Path) -> str:
    final = root / "objects" / "key"
    if not final.exists():
        return "old"
    try:
        durable.verify(final)
        whole = (final / "weights").read_bytes(), (final / "tokenizer" / "pieces").read_bytes()
    except (CorruptStateError, OSError) as error:
        return str(error)
    return "new" if whole == (b"weights" * 10, b"pieces" * 10) else "other content"


def _content(name: str, states: Mapping[bytes, str]) -> State:
    def state(root: Path) -> str:
        path = root / name
        return states.get(path.read_bytes(), "neither old nor new") if path.exists() else states.get(b"", "nothing")

    return state


def _old_file(root: Path) -> None:
    (root / "file").write_bytes(b"old")


def _linked(root: Path) -> str:
    return (
        {"a": "old", "b": "new"}.get(os.readlink(root / "link"), "another link")
        if (root / "link").is_symlink()
        else "none"
    )


def _old_link(root: Path) -> None:
    (root / "link").symlink_to("a")


def _folder(root: Path) -> None:
    (root / "one").mkdir()
    (root / "one" / "file").write_bytes(b"content")


def _whole(folder: Path) -> bool:
    return (folder / "file").exists() and (folder / "file").read_bytes() == b"content"


def _set_aside(root: Path) -> str:
    aside = [path for path in root.iterdir() if path.name.startswith(durable.CORRUPT)]
    if _whole(root / "one"):
        return "old" if not aside else "both"
    return "new" if len(aside) == 1 and _whole(aside[0]) else "neither"


def _moved(root: Path) -> str:
    there = _whole(root / "other" / "two")
    if _whole(root / "one"):
        return "old"  # or both, for as long as it is not done
    return "new" if there else "neither"


def _two_places(root: Path) -> None:
    _folder(root)
    (root / "other").mkdir()


def _counted_file(root: Path) -> None:
    (root / "file").write_bytes(b"old")
    (root / "count").write_bytes(b"3")


def _append(root: Path) -> None:
    with durable.open_partial(root / "file") as file:
        durable.cut_off(file, 3)
        durable.append_synced(file, b"new" * 100)
        durable.replace_file(root / "count", b"303")


def _counted(root: Path) -> str:
    """Read as much of a file as another one says."""
    known = {b"old": "old", b"old" + b"new" * 100: "new"}
    data = (root / "file").read_bytes()[: int((root / "count").read_bytes())]
    return known.get(data, f"the file begins with {data[:20]!r}")


def _finished_file(root: Path) -> None:
    (root / "file").write_bytes(b"old")
    (root / "file.partial").write_bytes(b"new" * 100)


def _removed(root: Path) -> str:
    if not (root / "one").exists():
        return "new"
    return "old" if _whole(root / "one") else "half of it is found"


def _made(root: Path) -> str:
    return "new" if (root / "a" / "b" / "c").is_dir() else "old"


PROMISES: Final[Mapping[str, Promise]] = {
    "publish": Promise(lambda _: None, _publish, _published),
    "replace_file": Promise(
        _old_file,
        lambda root: durable.replace_file(root / "file", b"new" * 100),
        _content("file", {b"old": "old", b"new" * 100: "new"}),
    ),
    "append_synced": Promise(_counted_file, _append, _counted),
    "move_file": Promise(
        _finished_file,
        lambda root: durable.move_file(root / "file.partial", root / "file"),
        _content("file", {b"old": "old", b"new" * 100: "new"}),
    ),
    "replace_link": Promise(_old_link, lambda root: durable.replace_link(root / "link", root / "b"), _linked),
    "quarantine": Promise(_folder, lambda root: _ignored(durable.quarantine(root / "one")), _set_aside),
    "move_folder": Promise(_two_places, lambda root: durable.move_folder(root / "one", root / "other" / "two"), _moved),
    "remove_folder": Promise(_folder, lambda root: durable.remove_folder(root / "one"), _removed, lasting=False),
    "make_folder": Promise(lambda _: None, lambda root: _ignored(durable.make_folder(root / "a" / "b" / "c")), _made),
}


def _ignored(_: object) -> None:
    """Take a result that is of no interest."""


def damage(folder: Path) -> list[str]:
    """Damage a published folder in all ways that there are, and return those that go unnoticed."""
    unnoticed = []
    for name, spoil in _DAMAGES.items():
        root = folder / name
        root.mkdir()
        _publish(root)
        spoil(root / "objects" / "key")
        if _published(root) == "new":
            unnoticed.append(name)
        try:
            durable.verify(root / "objects" / "key")
        except CorruptStateError:
            continue
        unnoticed.append(name)
    return unnoticed


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _exchange(folder: Path) -> None:
    data = (folder / "weights").read_bytes(), (folder / "tokenizer" / "pieces").read_bytes()
    (folder / "weights").write_bytes(data[1])
    (folder / "tokenizer" / "pieces").write_bytes(data[0])


_DAMAGES: Final[Mapping[str, Callable[[Path], object]]] = {
    "flip": lambda folder: _flip(folder / "weights"),
    "flip-inside": lambda folder: _flip(folder / "tokenizer" / "pieces"),
    "cut": lambda folder: (folder / "weights").write_bytes(b"weights" * 9),
    "empty": lambda folder: (folder / "weights").write_bytes(b""),
    "missing": lambda folder: (folder / "weights").unlink(),
    "extra": lambda folder: (folder / "more").write_bytes(b""),
    "exchanged": _exchange,
    "manifest-flip": lambda folder: _flip(folder / durable.MANIFEST),
    "manifest-empty": lambda folder: (folder / durable.MANIFEST).write_bytes(b"{}"),
    "manifest-missing": lambda folder: (folder / durable.MANIFEST).unlink(),
}
