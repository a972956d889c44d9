"""What a spec may say about COMET. Free of torch and of unbabel-comet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from specforge.plugin import MetricConfig, Requirement, marked


class CometConfig(MetricConfig):
    """COMET: a neural model's estimate of translation quality, from source, output and reference; mean over lines x 100.

    Source: Rei et al. 2020; models by Unbabel.
    """

    judges: ClassVar[Literal["texts", "labels"] | None] = "texts"
    needs_sources: ClassVar[bool] = True
    requires: ClassVar[Sequence[Requirement]] = (Requirement("comet", "pip install 'specforge-comet[comet]'"),)

    model: str = Field(
        default="Unbabel/wmt22-comet-da", min_length=1, description="name of the model, which unbabel-comet downloads"
    )
    checkpoint: Annotated[str | None, marked(identity=False)] = Field(
        default=None,
        pattern=r"^/",
        description="absolute path of that model's checkpoint file, where it is not to be downloaded",
    )
    batch_size: Annotated[int, marked(identity=False)] = Field(default=16, ge=1, description="lines scored at once")
    gpus: Annotated[int, marked(identity=False)] = Field(default=0, ge=0, description="GPUs to compute on; 0: the CPU")
