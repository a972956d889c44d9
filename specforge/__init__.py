"""specforge: the experiment compiler for sequence models."""

from typing import Final

__version__: Final = "0.1.0"
