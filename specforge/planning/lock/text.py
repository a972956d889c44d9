"""The text of a lock file: how it is written, and what is wrong with one that cannot be read."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from specforge.foundation.errors import Place, WrongInputError
from specforge.foundation.terminal import printable
from specforge.language.messages.diagnostics import SpecError
from specforge.language.messages.wording import first_fault
from specforge.language.text.limits import over_limit
from specforge.language.text.source import decode_source
from specforge.language.text.toml_text import toml_document
from specforge.planning.lock.contents import LOCK_FORMAT, Lock

if sys.version_info >= (3, 15):
    import tomllib
else:
    import tomli as tomllib  # the standard library reads TOML 1.0 only before Python 3.15

_LARGEST: Final = 16 << 20  # bytes
_MOST_ENTRIES: Final = 200_000

_HEAD: Final = """\
# What the results of {name} are made from. Written by `specforge lock`, not by hand; keep it in git beside the spec.
# `specforge plan` says whether it still holds, `specforge run --locked` refuses any difference that changes a result.
"""


def lock_text(lock: Lock, name: str) -> str:
    """Return a lock as TOML; equal locks give equal text.

    Args:
        lock: the lock.
        name: file name of the spec that it is of.
    """
    values = {key: value for key, value in lock.model_dump(mode="json").items() if value != []}
    return _HEAD.format(name=printable(name)) + toml_document(values)


def read_lock(path: Path) -> Lock | None:
    """Return the lock in a file, or None where there is no file.

    Raises:
        WrongInputError: SF114, the file is no lock, or one of another format.
        OSError: the system does not let us read it.
    """
    if not path.exists():
        return None
    data = _parsed(path)
    if data.get("format") != LOCK_FORMAT:
        if isinstance(data.get("format"), int):
            raise _no_lock(path, f"a lock file of another format; this specforge writes format {LOCK_FORMAT}")
        raise _no_lock(path, "this is no lock file of specforge")
    try:
        return Lock.model_validate(data)
    except ValidationError as error:
        raise _no_lock(path, f"this lock file is damaged: {first_fault(error)}") from error


def _parsed(path: Path) -> dict[str, object]:
    """Return the values of a file. A lock of many points is longer than any spec; parsing it must be as safe as a spec's."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
        raise _no_lock(path, "this is no lock file: no regular file, or a very large one")
    try:
        text = decode_source(path.read_bytes(), str(path)).text
    except SpecError as error:
        raise _no_lock(path, f"this is no lock file: {error.message}", error.place) from error
    excess = over_limit(text, _MOST_ENTRIES)
    if excess is not None:
        raise _no_lock(path, f"this is no lock file: {excess[0]}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        place = Place(str(path), error.lineno, error.colno)
        raise _no_lock(path, f"this is no lock file: not TOML: {reason}", place) from error


def _no_lock(path: Path, message: str, place: Place | None = None) -> WrongInputError:
    help_text = "`specforge lock` writes a new one once this file is out of the way"
    return WrongInputError("SF114", message, place=place or Place(str(path)), help=help_text)
