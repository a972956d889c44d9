"""The command `specforge`, with workers that have no engine: for what a user does to a run from outside."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from specforge.cli.main import main
from specforge.execution import runner

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))

runner.Options = functools.partial(runner.Options, command=FAKE)  # type: ignore[assignment, misc]

if __name__ == "__main__":
    sys.exit(main())
