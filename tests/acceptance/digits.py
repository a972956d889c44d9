"""Digit tasks: small parallel text that a working system learns almost perfectly and a broken one does not.

The sizes and thresholds follow what Sockeye's system tests ask for: lines of one to nine digits, a hundredth of the
training lines empty, the target either the same line or its digits in order.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LONGEST = 9


def copy(digits: Sequence[str]) -> list[str]:
    """The target of the copy task."""
    return list(digits)


def ascending(digits: Sequence[str]) -> list[str]:
    """The target of the sort task."""
    return sorted(digits)


def write_split(
    folder: Path, name: str, lines: int, empty: int, target: Callable[[Sequence[str]], list[str]], seed: int
) -> None:
    """Write `name.src` and `name.tgt` with `lines` lines, `empty` of them empty."""
    source = random.Random(seed)
    rows = [[source.choice("0123456789") for _ in range(source.randint(1, LONGEST))] for _ in range(lines - empty)]
    rows += [[] for _ in range(empty)]
    source.shuffle(rows)
    for suffix, texts in (("src", rows), ("tgt", [target(row) for row in rows])):
        (folder / f"{name}.{suffix}").write_text("".join(" ".join(text) + "\n" for text in texts))


def specforge(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, to its end, with some text on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "specforge", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
    )
