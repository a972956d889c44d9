"""Config of Adafactor."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from specforge.plugin import OptimizerConfig

Positive = Annotated[float, Field(gt=0.0)]


class AdafactorConfig(OptimizerConfig):
    """Adafactor: Adam's running square of a matrix kept as one number a row and one a column.

    The rate is the lr_scheduler's. The paper's relative step, min(0.01, 1/√t), is `inverse_sqrt` with `lr = 0.01`,
    `warmup_updates = 10_000` and `warmup_init_lr = 0.01`, beside `scale_parameter = true`.

    Source: Shazeer and Stern 2018, algorithms 4 to 6, with fairseq's defaults.
    """

    lr: float = Field(
        default=1e-3, gt=0.0, description="peak learning rate; the lr_scheduler says the rate of each update"
    )
    eps: tuple[Positive, Positive] = Field(
        default=(1e-30, 1e-3),
        description="added to squared gradients; smallest size of a tensor for scale_parameter",
    )
    clip_threshold: float = Field(
        default=1.0, gt=0.0, description="largest root mean square of a tensor's step, before it is multiplied by lr"
    )
    decay_rate: float = Field(
        default=-0.8, lt=0.0, description="update t keeps 1 - t to the power of this of the running squares"
    )
    beta1: float | None = Field(
        default=None,
        ge=0.0,
        lt=1.0,
        description="decay of a running mean of the steps; none: no mean, and no memory for it",
    )
    scale_parameter: bool = Field(
        default=False, description="multiply lr by the root mean square of the tensor that is stepped"
    )
    weight_decay: float = Field(
        default=0.0, ge=0.0, description="every update shrinks the weights by lr (scaled, if so) x this"
    )
