"""Config of Adam."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from specforge.plugin import OptimizerConfig

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class AdamConfig(OptimizerConfig):
    """Adam with decoupled weight decay.

    fairseq's `adam` decays the same way: a weight loses lr x weight_decay of itself, whatever its gradients were. That is
    not L2 regularisation, which would pass through the running means.

    Source: Kingma and Ba 2015; Loshchilov and Hutter 2019 for the decay.
    """

    elementwise: ClassVar[bool] = True

    lr: float = Field(
        default=5e-4, gt=0.0, description="peak learning rate; the lr_scheduler says the rate of each update"
    )
    betas: tuple[Beta, Beta] = Field(
        default=(0.9, 0.999), description="decay of the running mean and of the running square"
    )
    eps: float = Field(default=1e-8, gt=0.0, description="added to the root of the running square")
    weight_decay: float = Field(default=0.0, ge=0.0, description="every update shrinks the weights by lr x this")
