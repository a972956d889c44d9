"""Every operation that changes what a disk holds, one by one: counted, watched, failed, or survived by nobody.

`watched` puts itself between Python's `os` and the program, for what happens below one folder: creating, writing, syncing,
renaming, linking and removing. A fault may strike before or after any of these; whoever sets one learns whether it fired.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from unittest import mock

Kind: TypeAlias = Literal[
    "create", "write", "fsync", "rename", "mkdir", "unlink", "rmdir", "link", "symlink", "truncate"
]
Fault: TypeAlias = Literal["kill before", "kill after", "ENOSPC", "EIO", "short write"]
FAULTS: Final[tuple[Fault, ...]] = ("kill before", "kill after", "ENOSPC", "EIO", "short write")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on the disk.

    Args:
        number: from 1, in the order in which they began.
        kind: what it does.
        path: the file or folder that it is done to; of a rename or link the new name.
    """

    number: int
    kind: Kind
    path: str


class Watcher:
    """Is told of every operation; does nothing by itself."""

    def before(self, operation: Operation, data: memoryview | None) -> memoryview | None:
        """Hear of an operation that is about to be done.

        Args:
            operation: what it is.
            data: what a write is about to write.

        Returns:
            What is written instead; raise to let the operation fail.
        """
        del operation
        return data

    def after(self, operation: Operation) -> None:
        """Hear of an operation that has been done."""


@dataclass
class Strike(Watcher):
    """Lets one operation go wrong.

    Args:
        number: which.
        fault: how.
        marker: a file outside the watched folder that is written when the fault fires.
    """

    number: int
    fault: Fault
    marker: Path

    def before(self, operation: Operation, data: memoryview | None) -> memoryview | None:
        if operation.number != self.number:
            return data
        match self.fault:
            case "kill before":
                self._fire(operation)
                os.kill(os.getpid(), signal.SIGKILL)
            case "ENOSPC" | "EIO":
                self._fire(operation)
                raise OSError(getattr(errno, self.fault), os.strerror(getattr(errno, self.fault)), operation.path)
            case "short write" if data is not None:
                self._fire(operation)
                return data[: len(data) // 2]
            case _:
                pass
        return data

    def after(self, operation: Operation) -> None:
        if operation.number == self.number and self.fault == "kill after":
            self._fire(operation)
            os.kill(os.getpid(), signal.SIGKILL)

    def _fire(self, operation: Operation) -> None:
        self.marker.write_text(f"{operation.kind} {operation.path}")


@contextmanager
def watched(root: Path, watcher: Watcher) -> Iterator[None]:
    """Tell a watcher of all operations below a folder, in all threads of this process, until the block ends."""
    between = _Between(os.path.realpath(root), watcher)
    with between.installed():
        yield


class _Between:
    """Stands between the program and `os`."""

    def __init__(self, root: str, watcher: Watcher) -> None:
        self._root = root
        self._watcher = watcher
        self._count = 0
        self._lock = threading.RLock()
        self._real = {name: getattr(os, name) for name in _PATCHED}

    @contextmanager
    def installed(self) -> Iterator[None]:
        with mock.patch.multiple(os, **{name: getattr(self, f"_{name}") for name in _PATCHED}):
            yield

    def _done(self, kind: Kind, path: str, action: Callable[[], object]) -> object:
        if not (path + "/").startswith(self._root + "/"):
            return action()
        with self._lock:
            self._count += 1
            operation = Operation(self._count, kind, path)
            self._watcher.before(operation, None)
            result = action()
            self._watcher.after(operation)
            return result

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write to a file below the folder as one operation."""
        with self._lock:
            self._count += 1
            operation = Operation(self._count, "write", _path_of(descriptor))
            kept = self._watcher.before(operation, data)
            assert kept is not None
            written = int(self._real["write"](descriptor, kept))
            self._watcher.after(operation)
            if len(kept) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), operation.path)
            return written

    def _open(self, path: str | Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> object:
        def real() -> object:
            return self._real["open"](path, flags, mode, dir_fd=dir_fd)

        creating = flags & os.O_CREAT and not os.path.lexists(_full(path, dir_fd))
        return self._done("create", _full(path, dir_fd), real) if creating else real()

    def _fdopen(self, descriptor: int, mode: str = "r", buffering: int = -1, **options: str | None) -> object:
        if "b" in mode and mode != "rb" and (_path_of(descriptor) + "/").startswith(self._root + "/"):
            return io.BufferedWriter(_Raw(descriptor, self), buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
        return self._real["fdopen"](descriptor, mode, buffering, **options)

    def _fsync(self, descriptor: int) -> object:
        return self._done("fsync", _path_of(descriptor), lambda: self._real["fsync"](descriptor))

    def _rename(self, source: str | Path, target: str | Path, **options: int | None) -> object:
        return self._done("rename", _full(target, None), lambda: self._real["rename"](source, target, **options))

    def _mkdir(self, path: str | Path, mode: int = 0o777, *, dir_fd: int | None = None) -> object:
        return self._done("mkdir", _full(path, dir_fd), lambda: self._real["mkdir"](path, mode, dir_fd=dir_fd))

    def _unlink(self, path: str | Path, *, dir_fd: int | None = None) -> object:
        return self._done("unlink", _full(path, dir_fd), lambda: self._real["unlink"](path, dir_fd=dir_fd))

    def _rmdir(self, path: str | Path, *, dir_fd: int | None = None) -> object:
        return self._done("rmdir", _full(path, dir_fd), lambda: self._real["rmdir"](path, dir_fd=dir_fd))

    def _link(self, source: str | Path, target: str | Path, **options: int | bool | None) -> object:
        return self._done("link", _full(target, None), lambda: self._real["link"](source, target, **options))

    def _symlink(self, source: str | Path, target: str | Path, *more: bool, **options: int | None) -> object:
        return self._done(
            "symlink", _full(target, None), lambda: self._real["symlink"](source, target, *more, **options)
        )

    def _ftruncate(self, descriptor: int, length: int) -> object:
        return self._done("truncate", _path_of(descriptor), lambda: self._real["ftruncate"](descriptor, length))

    def _write(self, descriptor: int, data: bytes) -> object:
        return self._real["write"](descriptor, data)


_PATCHED: Final = (
    "open",
    "fdopen",
    "fsync",
    "rename",
    "mkdir",
    "unlink",
    "rmdir",
    "link",
    "symlink",
    "ftruncate",
    "write",
)


class _Raw(io.RawIOBase):
    """A file whose writes are operations."""

    def __init__(self, descriptor: int, between: _Between) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._between = between

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: object) -> int:
        assert isinstance(data, memoryview | bytes | bytearray)
        return self._between.write(self._descriptor, memoryview(data))

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _full(path: str | Path | int, folder: int | None) -> str:
    if isinstance(path, int):
        return _path_of(path)
    base = os.getcwd() if folder is None else _path_of(folder)
    return os.path.normpath(os.path.join(base, os.fspath(path)))


def _path_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")
