"""What a spec may say about the focal loss."""

from __future__ import annotations

from pydantic import Field

from specforge.plugin import ComponentConfig


class FocalConfig(ComponentConfig):
    """Cross entropy that counts well-predicted targets less.

    Source: Lin et al. 2017, equation 4, without the class weights α.
    """

    gamma: float = Field(default=2.0, ge=0.0, description="how little a well-predicted target counts; 0: cross entropy")
