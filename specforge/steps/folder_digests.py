"""What a model folder says of its own files: a SHA-256 for each. Free of torch."""

from __future__ import annotations

from pathlib import Path

from specforge.foundation.errors import CorruptStateError, Place
from specforge.language.model_folders import CONTENTS


def folder_digests(folder: Path) -> dict[str, str]:
    """Return name of each file → SHA-256, as the folder lists them.

    Raises:
        CorruptStateError: SF614, there is no list.
    """
    lines = [line.partition("  ") for line in read_file(folder / CONTENTS).decode(errors="replace").split("\n")]
    return {name: digest for digest, _, name in lines if name}


def changed_file(path: Path, name: str) -> CorruptStateError:
    """Return the error of a file that is not what its folder says.

    Args:
        path: the file.
        name: of it in the folder.
    """
    return CorruptStateError("SF613", f"`{name}` does not match `{CONTENTS}`", place=Place(str(path)))


def read_file(path: Path) -> bytes:
    """Return the bytes of a file of a model folder.

    Raises:
        CorruptStateError: SF614, it is missing.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
