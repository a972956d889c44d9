"""What a spec may say of a convolutional sequence-to-sequence model. The defaults are fairseq's `fconv`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import ModelConfig


def _layer(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(numbers) not in {2, 3} or min(numbers[:2]) < 1 or min(numbers) < 0:
        raise PydanticCustomError(
            "convolution",
            "a layer is [channels, kernel width] or [channels, kernel width, residual], the first two from 1",
        )
    return numbers


def _stack(layers: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    if not layers:
        raise PydanticCustomError("convolution", "at least one layer is needed")
    for number, layer in enumerate(layers, 1):
        if residual_of(layer) > number:
            raise PydanticCustomError(
                "residual",
                "the residual connection of layer {number} starts {residual} layers back, before the first",
                {"number": number, "residual": residual_of(layer)},
            )
    return layers


Convolution: TypeAlias = Annotated[tuple[int, ...], AfterValidator(_layer)]
Convolutions: TypeAlias = Annotated[tuple[Convolution, ...], AfterValidator(_stack)]


def residual_of(layer: tuple[int, ...]) -> int:
    """Return how many layers back the residual connection starts: 1 at this layer's input, 0 for none."""
    return layer[2] if len(layer) > 2 else 1  # noqa: PLR2004  # the third of at most three numbers


class FConvConfig(ModelConfig):
    """Sizes and regularisation of the model of Gehring et al. 2017."""

    embed_dim: int = Field(default=512, ge=1, description="width of the embeddings of both sides")
    encoder_layers: Convolutions = Field(
        default=((512, 3),) * 20,
        description="[channels, kernel width] of each layer; a third number says how many layers back the residual "
        "connection starts (1: this layer's input, 0: none)",
    )
    decoder_layers: Convolutions = Field(default=((512, 3),) * 20, description="the same for the decoder")
    decoder_attention: tuple[bool, ...] | None = Field(
        default=None, description="for each layer of the decoder whether it looks at the source; default: all do"
    )
    out_embed_dim: int = Field(default=256, ge=1, description="width of the layer below the vocabulary projection")
    share_input_output_embed: bool = Field(
        default=False, description="the decoder's input and output share one table; out_embed_dim must equal embed_dim"
    )
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="on embeddings and the input of every convolution")
    max_positions: int = Field(
        default=1_022,
        ge=1,
        description="longest source and target, end of sentence counted (fairseq's 1,024 are rows of a table whose "
        "first two hold no position)",
    )

    @model_validator(mode="after")
    def _attention_fits(self) -> FConvConfig:
        """`decoder_attention` has a value for each of `decoder_layers`, at least one of them true."""
        attending = self.attending()
        if len(attending) != len(self.decoder_layers):
            raise PydanticCustomError(
                "shape",
                "`decoder_attention` and `decoder_layers` differ in length",
                {
                    "labels": {
                        "decoder_attention": f"{len(attending)} values",
                        "decoder_layers": f"{len(self.decoder_layers)} layers",
                    }
                },
            )
        if not any(attending):
            raise PydanticCustomError(
                "shape",
                "no layer of the decoder looks at the source",
                {
                    "labels": {"decoder_attention": "at least one layer must"},
                    "help": "leave it out for attention everywhere",
                },
            )
        return self

    @model_validator(mode="after")
    def _shared_table_has_one_width(self) -> FConvConfig:
        """With `share_input_output_embed`, `out_embed_dim` equals `embed_dim`."""
        if self.share_input_output_embed and self.embed_dim != self.out_embed_dim:
            raise PydanticCustomError(
                "shape",
                "a shared table needs `out_embed_dim` equal to `embed_dim`",
                {
                    "labels": {
                        "share_input_output_embed": "one table for input and output",
                        "out_embed_dim": f"the output is {self.out_embed_dim} wide, the input {self.embed_dim}",
                    },
                    "help": f"write `out_embed_dim = {self.embed_dim}`",
                },
            )
        return self

    def attending(self) -> tuple[bool, ...]:
        """Return for each layer of the decoder whether it looks at the source."""
        if self.decoder_attention is None:
            return (True,) * len(self.decoder_layers)
        return self.decoder_attention

    def longest_items(self) -> Mapping[str, int]:
        """Return the longest source and target; see the base class."""
        return dict.fromkeys(("source", "target"), self.max_positions)
