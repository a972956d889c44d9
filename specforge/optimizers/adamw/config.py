"""Config of AdamW."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from specforge.plugin import OptimizerConfig

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class AdamWConfig(OptimizerConfig):
    """Adam with decoupled weight decay, with all that PyTorch's AdamW offers and with its defaults.

    `adam` does the same under fairseq's defaults: it decays only where told to.

    Source: Loshchilov and Hutter 2019, algorithm 2; Reddi, Kale and Kumar 2018 for `amsgrad`.
    """

    elementwise: ClassVar[bool] = True

    lr: float = Field(
        default=1e-3, gt=0.0, description="peak learning rate; the lr_scheduler says the rate of each update"
    )
    betas: tuple[Beta, Beta] = Field(
        default=(0.9, 0.999), description="decay of the running mean and of the running square"
    )
    eps: float = Field(default=1e-8, gt=0.0, description="added to the root of the running square")
    weight_decay: float = Field(default=0.01, ge=0.0, description="every update shrinks the weights by lr x this")
    amsgrad: bool = Field(default=False, description="divide by the largest running square so far, not by the last")
    kernel: Literal["auto", "fused", "foreach", "loop"] = Field(
        default="auto",
        description="fused: one for all weights; foreach: one an operation; loop: one an operation and tensor; auto: "
        "fused on CPU and CUDA. They differ in speed, memory and the last bits",
    )
