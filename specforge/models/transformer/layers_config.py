"""What the specs of all transformers may say: sizes, regularisation and form of their layers."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import ModelConfig


class TransformerLayersConfig(ModelConfig):
    """Layers of self-attention and feed-forward networks, all of the same width."""

    embed_dim: int = Field(default=512, ge=1, description="width of embeddings and layers")
    ffn_dim: int = Field(default=2_048, ge=1, description="width of the feed-forward networks")
    attention_heads: int = Field(default=8, ge=1, description="heads of every attention; they share embed_dim")
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="on embeddings and the output of every sublayer")
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="on attention weights")
    activation_dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="inside the feed-forward networks")
    activation: Literal["relu", "gelu", "silu"] = Field(
        default="relu", description="non-linearity of the feed-forward networks"
    )
    norm: Literal["post", "pre"] = Field(
        default="pre", description="layer norm after the residual sum, or before each sublayer and once at the end"
    )
    scale_embeddings: bool = Field(default=True, description="multiply embeddings by the square root of embed_dim")
    positions: Literal["sinusoidal", "learned"] = Field(default="sinusoidal", description="what tells positions apart")
    max_positions: int | None = Field(
        default=None,
        ge=1,
        description="longest item, end of sentence counted; learned positions need it, sinusoidal do not",
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        """`embed_dim` is a multiple of `attention_heads`."""
        _check_heads(self.embed_dim, self.attention_heads)
        return self

    @model_validator(mode="after")
    def _positions_fit(self) -> Self:
        """Learned `positions` need `max_positions`; sinusoidal ones an even `embed_dim`."""
        _check_positions(self.positions, self.max_positions, self.embed_dim)
        return self


def _check_heads(embed_dim: int, attention_heads: int) -> None:
    """Refuse a width that heads cannot share.

    Raises:
        PydanticCustomError: it names both fields.
    """
    if embed_dim % attention_heads != 0:
        raise PydanticCustomError(
            "shape",
            "`embed_dim` is not a multiple of `attention_heads`",
            {
                "labels": {
                    "embed_dim": f"{embed_dim} cannot be shared evenly",
                    "attention_heads": f"by {attention_heads} heads",
                },
                "help": f"the nearest width that can is {_nearest_multiple(embed_dim, attention_heads)}",
            },
        )


def _check_positions(positions: Literal["sinusoidal", "learned"], max_positions: int | None, embed_dim: int) -> None:
    """Refuse positions that cannot be made.

    Raises:
        PydanticCustomError: it names the fields.
    """
    if positions == "learned" and max_positions is None:
        raise PydanticCustomError(
            "missing_value",
            "learned positions need `max_positions`",
            {"labels": {"positions": "a table of positions has an end"}, "help": "write `max_positions = 1_024`"},
        )
    if positions == "sinusoidal" and embed_dim % 2 != 0:
        raise PydanticCustomError(
            "shape",
            "sinusoidal positions need an even `embed_dim`",
            {
                "labels": {
                    "embed_dim": f"{embed_dim} is odd",
                    "positions": "half of the width is sines, half is cosines",
                },
                "help": f"take {embed_dim + 1}, or learned positions",
            },
        )


def _nearest_multiple(value: int, divisor: int) -> int:
    return max(divisor, round(value / divisor) * divisor)
