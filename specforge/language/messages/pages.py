"""The page of each error code: what it means, why specforge is strict there, a wrong example and the right one.

The pages are Markdown files in the folder `pages` beside this module, so that a wheel holds them and `specforge explain`
shows them wherever specforge is installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).with_name("pages")

_CODE: Final = re.compile(r"SF\d{3}")


def page(code: str) -> str | None:
    """Return the page of a code as Markdown, or None where it has none.

    Args:
        code: as messages print it, in either case: `SF101`.
    """
    code = code.upper()
    if _CODE.fullmatch(code) is None:  # what a user typed never becomes part of a path
        return None
    path = _FOLDER / f"{code}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def codes() -> tuple[str, ...]:
    """Return the codes that have a page, in order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("SF[0-9][0-9][0-9].md")))
