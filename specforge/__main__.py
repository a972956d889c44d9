"""`python -m specforge` is the command `specforge`."""

from __future__ import annotations

import sys

from specforge.cli.main import start

if __name__ == "__main__":
    sys.exit(start())
