"""Durable files: the only module that creates, writes, renames or deletes.

What is published goes temporary folder → fsync of each file → manifest with SHA-256, last → fsync of the folder → rename →
fsync of the parent. Nothing is overwritten in place: `replace_file` swaps a whole file by rename, and folders are
published once under a name that did not exist. A folder without a readable manifest does not exist.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from pydantic import JsonValue

from specforge.foundation.errors import CorruptStateError, Place

MANIFEST: Final = "manifest.json"

REMOVED: Final = ".removed."
"""How the name of a folder begins that is being removed; its former name follows."""

CORRUPT: Final = "corrupt-"
"""How the name of a folder begins that was found damaged and put aside."""

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size in bytes and SHA-256 of one published file."""

    size: int
    sha256: str


def make_folder(path: Path) -> Path:
    """Create a folder and its missing parents durably, and return it."""
    missing = []
    folder = path
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o755, exist_ok=True)
        sync_folder(folder.parent)
    return path


def folders(path: Path) -> list[Path]:
    """Return the folders in a folder, in the order of their names; files there are not ours (`.DS_Store`, `.nfs…`)."""
    return sorted(inside for inside in path.iterdir() if inside.is_dir())


def temporary_folder(parent: Path, label: str) -> Path:
    """Create and return a private folder with a fresh name below `parent` (same filesystem as its later place)."""
    make_folder(parent)
    path = parent / f"{label}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    path.mkdir(mode=0o700)
    return path


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name a file in the errors of a block: of a full disk the system does not say which."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that must not exist yet; it is on disk when the block ends without an error."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with _named(path), os.fdopen(descriptor, "wb", buffering=_CHUNK) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def scratch_file(folder: Path) -> Iterator[IO[bytes]]:
    """Open a file without a name, on the disk of `folder`, for writing and then reading; nothing of it is left, ever."""
    with tempfile.TemporaryFile(dir=folder, buffering=_CHUNK) as file:
        yield file


def write_file(path: Path, data: bytes) -> None:
    """Write a new file whole."""
    with new_file(path) as file:
        file.write(data)


def write_digested(path: Path, data: bytes) -> FileDigest:
    """Write a new file whole, and return the digest of what was to be written: `publish` need not read it again."""
    write_file(path, data)
    return FileDigest(len(data), hashlib.sha256(data).hexdigest())


def write_json(path: Path, value: JsonValue) -> None:
    """Write a new file with a JSON value, indented for people."""
    write_file(path, json_text(value))


def json_text(value: JsonValue) -> bytes:
    """Return a JSON value as the text that we write to files, and print.

    What could move a cursor or reverse a line on a terminal is escaped, and so are bytes of a path that are no text.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(each if each == "\n" or each.isprintable() else json.dumps(each)[1:-1] for each in text)
    return (text + "\n").encode()


def replace_file(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Give a file new content in one step: readers see the old or the new, never a mix.

    Args:
        path: the file; no link to it, which would be replaced itself.
        data: all of its content.
        mode: its permissions, where they are not those of a new file.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    try:
        write_file(temporary, data)
        if mode is not None:
            temporary.chmod(mode)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target`, relative to the link's folder, replacing a former link in one step."""
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}"
    temporary.symlink_to(os.path.relpath(target, path.parent))
    os.rename(temporary, path)
    sync_folder(path.parent)


def append_line(file: IO[bytes], line: str) -> None:
    """Append one line to an open log; it reaches the operating system at once, so that a killed process loses none."""
    file.write(line.encode(errors="backslashreplace") + b"\n")
    file.flush()


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, below a folder that exists; half a line that a crash left at its end is cut off."""
    file = path.open("ab", buffering=0)
    with path.open("rb") as written:
        end = file.tell()
        tail_start = max(0, end - _CHUNK)
        written.seek(tail_start)
        tail = written.read()
    if tail and not tail.endswith(b"\n"):
        file.truncate(tail_start + tail.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
    return file


@contextmanager
def open_partial(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is not finished, to be written at its end, creating it where it is missing; a link is refused."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb", buffering=_CHUNK) as file:
        yield file


def cut_off(file: IO[bytes], size: int) -> None:
    """Leave the first `size` bytes of a file that `open_partial` opened; what is written comes after them."""
    os.ftruncate(file.fileno(), size)


def append_synced(file: IO[bytes], data: bytes) -> None:
    """Write to a file that `open_partial` opened; the bytes are on disk when this returns."""
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def move_file(source: Path, target: Path) -> None:
    """Give a file, its content on disk already, another name in its folder, replacing what has that name in one step."""
    os.rename(source, target)
    sync_folder(target.parent)


def link_files(source: Path, target: Path) -> None:
    """Fill the folder `target` with hard links to the files below `source`, without its manifest."""
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.is_dir():
            (target / inside).mkdir()
        elif inside != Path(MANIFEST):
            os.link(path, target / inside)


def sync_folder(path: Path) -> None:
    """Make names that were created in or renamed into a folder survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(path: Path) -> None:
    """Remove a folder and what is in it: first out of sight by rename, so that no half of it is ever found."""
    doomed = path.parent / f"{REMOVED}{path.name}.{uuid.uuid4().hex[:8]}"
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def quarantine(path: Path) -> Path:
    """Put a damaged folder aside under a name that says so, whole, and return that name."""
    aside = path.parent / f"{CORRUPT}{path.name}.{uuid.uuid4().hex[:8]}"
    os.rename(path, aside)
    sync_folder(path.parent)
    return aside


def move_folder(source: Path, target: Path) -> None:
    """Give a folder another place on the same filesystem, which must be free."""
    os.rename(source, target)
    sync_folder(target.parent)
    sync_folder(source.parent)


def remove_file(path: Path) -> None:
    """Remove a file or a link, if it is there."""
    path.unlink(missing_ok=True)


def open_lock(path: Path) -> int:
    """Open a lock file, creating it where it is missing, and return the descriptor; a link in its place is refused."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def rewrite(descriptor: int, data: bytes) -> None:
    """Replace what an open lock file says. Not atomic: nothing depends on it but a message."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def digest_file(path: Path) -> FileDigest:
    """Return size and SHA-256 of a file, read in one pass."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileDigest(size, digest.hexdigest())


_UNKNOWN: Final[Mapping[str, FileDigest]] = {}


def digest_folder(folder: Path, known: Mapping[str, FileDigest] = _UNKNOWN) -> dict[str, FileDigest]:
    """Return the digest of every file below a folder, by its path inside, sorted; its manifest is left out.

    Args:
        folder: the folder.
        known: digests of files in it, by their path inside, which are not read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: known[name] if name in known else digest_file(path) for name, path in names.items()}


def publish(
    temporary: Path, final: Path, facts: Mapping[str, JsonValue], known: Mapping[str, FileDigest] = _UNKNOWN
) -> dict[str, FileDigest]:
    """Publish a finished temporary folder under its final name.

    Args:
        temporary: folder on the same filesystem, complete, its files already synced.
        final: the name it gets; its parent is created. If it exists already, someone else finished first: theirs stays.
        facts: further entries of the manifest (`files` is ours).
        known: digests of files in it, as `write_digested` returns them.

    Returns:
        The digests written to the manifest.
    """
    files = digest_folder(temporary, known)
    listed: JsonValue = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in files.items()}
    for folder in sorted((path for path in temporary.rglob("*") if path.is_dir()), reverse=True):
        sync_folder(folder)
    write_json(temporary / MANIFEST, {**facts, "files": listed})
    sync_folder(temporary)
    make_folder(final.parent)
    try:
        os.rename(temporary, final)
    except OSError:
        if not (final / MANIFEST).is_file():
            raise
        remove_folder(temporary)
        return files
    sync_folder(final.parent)
    return files


def read_manifest(folder: Path) -> dict[str, JsonValue] | None:
    """Return the manifest of a published folder, or None when the folder was never published.

    Raises:
        CorruptStateError: there is a manifest and it cannot be read.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CorruptStateError("SF611", "a manifest is not JSON", place=Place(str(path))) from error
    if not isinstance(data, dict):
        raise CorruptStateError("SF611", "a manifest is not a JSON object", place=Place(str(path)))
    return data


def verify(folder: Path) -> None:
    """Check every file of a published folder against its manifest.

    Raises:
        CorruptStateError: a file is missing, too many, or has other content; the message names it.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise CorruptStateError("SF612", "a folder has no manifest", place=Place(str(folder)))
    listed = manifest.get("files")
    found: dict[str, JsonValue] = {
        name: {"size": entry.size, "sha256": entry.sha256} for name, entry in digest_folder(folder).items()
    }
    if listed != found:
        first = _first_difference(listed if isinstance(listed, dict) else {}, found)
        raise CorruptStateError("SF613", f"`{first}` does not match its manifest", place=Place(str(folder / first)))


def _first_difference(listed: Mapping[str, JsonValue], found: Mapping[str, JsonValue]) -> str:
    return next((name for name in sorted({*listed, *found}) if listed.get(name) != found.get(name)), MANIFEST)
