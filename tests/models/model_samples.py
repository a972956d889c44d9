"""Small models of both families and batches for them, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from specforge.data.batch import SequencePairBatch
from specforge.models.fconv.config import FConvConfig
from specforge.models.fconv.model import build as build_fconv
from specforge.models.model import EncoderDecoder
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import build as build_transformer
from specforge.plugin import ModelContext, Symbols

EOS: Final = 2
PAD: Final = 1
SOURCE_TYPES: Final = 24
TARGET_TYPES: Final = 32


def context(*, joined: bool = False) -> ModelContext:
    """Return what models are built for: 24 source and 32 target types, or 32 in common."""
    return ModelContext(
        {"source": Symbols(TARGET_TYPES if joined else SOURCE_TYPES), "target": Symbols(TARGET_TYPES)}, joined
    )


def transformer_config(**values: object) -> TransformerConfig:
    small = {"encoder_layers": 2, "decoder_layers": 2, "embed_dim": 16, "ffn_dim": 24, "attention_heads": 4}
    return TransformerConfig.model_validate(small | values)


def fconv_config(**values: object) -> FConvConfig:
    stack = ((8, 3), (12, 2), (12, 4, 2), (16, 1, 0))
    small = {
        "encoder_layers": stack,
        "decoder_layers": stack,
        "embed_dim": 10,
        "out_embed_dim": 14,
        "max_positions": 64,
    }
    return FConvConfig.model_validate(small | values)


def _transformer(**values: object) -> EncoderDecoder:
    config = transformer_config(**values)
    return build_transformer(config, context(joined=config.share_embeddings == "all"))


def _fconv(**values: object) -> EncoderDecoder:
    return build_fconv(fconv_config(**values), context())


MODELS: Final[dict[str, Callable[[], EncoderDecoder]]] = {
    "transformer": _transformer,
    "transformer pre": lambda: _transformer(norm="pre", activation="gelu", scale_embeddings=False),
    "transformer learned": lambda: _transformer(positions="learned", max_positions=64, share_embeddings="all"),
    "fconv": _fconv,
    "fconv shared": lambda: _fconv(
        out_embed_dim=10, share_input_output_embed=True, decoder_attention=(True, False, True, False)
    ),
}
"""A model of each family and form, by name."""


def make(name: str, seed: int = 1) -> EncoderDecoder:
    """Return the model in float64 and evaluation mode."""
    torch.manual_seed(seed)
    return MODELS[name]().double().eval()


def padded(rows: Sequence[Sequence[int]], width: int = 0) -> Tensor:
    """Return rows as a tensor [rows, width] padded on the right."""
    width = max(width, *(len(row) for row in rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def batch(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], extra: int = 0) -> SequencePairBatch:
    """Return a batch of pairs that end with EOS, padded `extra` places more than needed."""
    return SequencePairBatch(
        source=padded(sources, max(map(len, sources)) + extra),
        source_lengths=torch.tensor([len(source) for source in sources]),
        target_in=padded([[EOS, *target[:-1]] for target in targets], max(map(len, targets)) + extra),
        target_out=padded(targets, max(map(len, targets)) + extra),
        target_lengths=torch.tensor([len(target) for target in targets]),
        target_tokens=sum(len(target) for target in targets),
    )


def random_pairs(count: int, seed: int = 1) -> tuple[list[list[int]], list[list[int]]]:
    """Return sources and targets of 1 to 9 symbols, EOS at the end."""
    torch.manual_seed(seed)

    def sentence(types: int) -> list[int]:
        length = int(torch.randint(0, 9, ()))
        return [*torch.randint(4, types, (length,)).tolist(), EOS]

    return [sentence(SOURCE_TYPES) for _ in range(count)], [sentence(TARGET_TYPES) for _ in range(count)]
