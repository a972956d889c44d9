"""Config of Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from specforge.plugin import OptimizerConfig


class NagConfig(OptimizerConfig):
    """Nesterov's accelerated gradient, in the form that looks ahead in the gradient step (`nag` in fairseq).

    Source: Bengio, Boulanger-Lewandowski and Pascanu 2012, section 3.5.
    """

    elementwise: ClassVar[bool] = True

    lr: float = Field(
        default=0.25, gt=0.0, description="peak learning rate; the lr_scheduler says the rate of each update"
    )
    momentum: float = Field(default=0.99, ge=0.0, lt=1.0, description="share of the last step that the next one keeps")
    weight_decay: float = Field(default=0.0, ge=0.0, description="every update shrinks the weights by lr x this")
