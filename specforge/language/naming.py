"""Names that a folder can have, made from what people call things: the run of a spec without a name, a point of a sweep."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from specforge.foundation.canonical import digest_bytes

_LONGEST: Final = 100  # characters, as `schema.NAME_PATTERN` says
_DIGEST: Final = 8  # characters of a digest in the place of what cannot stand there
_UNNAMEABLE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_DEFAULT_NAME: Final = "spec"


def default_name(path: Path) -> str:
    """Return the name of a spec that gives itself none: the file's stem, made fit to name a folder.

    Letters that cannot stand in it are replaced by a digest of the stem, so that two files do not share a name.
    """
    stem = path.stem
    name = nameable(stem) or _DEFAULT_NAME
    if any(character.isalnum() and not character.isascii() for character in stem):
        name = f"{name}-{digest_bytes(stem.encode(errors='surrogateescape'))[:_DIGEST]}"
    return shortened(name)


def nameable(text: str) -> str:
    """Return a text with all that cannot stand in a folder's name replaced by dashes; may be empty."""
    return _UNNAMEABLE.sub("-", text).strip("._-")


def shortened(name: str) -> str:
    """Return a name, its end replaced by a digest where it is too long for a folder's."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - _DIGEST - 1]}-{digest_bytes(name.encode())[:_DIGEST]}"
