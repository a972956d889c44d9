"""Config of stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import OptimizerConfig


class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent, with momentum, Nesterov's momentum and L2 regularisation where asked.

    Source: Polyak 1964; Sutskever, Martens, Dahl and Hinton 2013, in PyTorch's form, which keeps the momentum in units of
    gradients. That is also fairseq's `sgd`, which lacks `nesterov`; for its `nag` see `nag`.
    """

    elementwise: ClassVar[bool] = True

    lr: float = Field(
        default=0.1, gt=0.0, description="peak learning rate; the lr_scheduler says the rate of each update"
    )
    momentum: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="share of the last direction that the next one keeps"
    )
    nesterov: bool = Field(default=False, description="look ahead along the momentum; needs momentum")
    weight_decay: float = Field(
        default=0.0, ge=0.0, description="this x the weights is added to their gradients, so that momentum sees it"
    )

    @model_validator(mode="after")
    def _something_to_look_ahead_along(self) -> SgdConfig:
        """`nesterov` needs `momentum`."""
        if self.nesterov and self.momentum == 0.0:
            raise PydanticCustomError(
                "missing_value",
                "`nesterov` needs `momentum`",
                {"labels": {"nesterov": "there is no momentum to look ahead along"}, "help": "write `momentum = 0.9`"},
            )
        return self
