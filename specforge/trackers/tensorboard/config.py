"""What a spec may say about TensorBoard. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from specforge.plugin import ComponentConfig, Requirement


class TensorBoardConfig(ComponentConfig):
    """Event files for TensorBoard, in the run's folder below `logs/tensorboard`, one folder for each training."""

    requires: ClassVar[Sequence[Requirement]] = (
        Requirement("tensorboard", "pip install 'specforge-compiler[tensorboard]'"),
    )
