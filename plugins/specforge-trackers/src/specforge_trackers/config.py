"""What a spec may say about the trackers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from specforge.plugin import ComponentConfig, Requirement


class WandbConfig(ComponentConfig):
    """A run at Weights & Biases. Who you are is not for a spec to say: `wandb login` or WANDB_API_KEY."""

    requires: ClassVar[Sequence[Requirement]] = (Requirement("wandb", "pip install 'specforge-trackers[wandb]'"),)

    project: str = Field(default="specforge", min_length=1, description="the project that the run belongs to")
    entity: str | None = Field(default=None, min_length=1, description="a team or user; default: your own")
    mode: Literal["online", "offline"] | None = Field(
        default=None, description="offline: files for `wandb sync`; default: WANDB_MODE, else online"
    )


class MlflowConfig(ComponentConfig):
    """A run in an MLflow store: a server, a database or a folder."""

    requires: ClassVar[Sequence[Requirement]] = (Requirement("mlflow", "pip install 'specforge-trackers[mlflow]'"),)

    tracking_uri: str | None = Field(
        default=None, min_length=1, description="the store, such as sqlite:///mlflow.db; default: MLFLOW_TRACKING_URI"
    )
    experiment: str = Field(default="specforge", min_length=1, description="the experiment that the run belongs to")
