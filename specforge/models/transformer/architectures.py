"""Transformers by the names that fairseq gave them; `transformer` itself, the base model, is the eighth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from specforge.plugin import Preset

_BASE: Final[Mapping[str, JsonValue]] = {
    "encoder_layers": 6,
    "decoder_layers": 6,
    "embed_dim": 512,
    "ffn_dim": 2_048,
    "attention_heads": 8,
}

_BIG: Final[Mapping[str, JsonValue]] = {
    "encoder_layers": 6,
    "decoder_layers": 6,
    "embed_dim": 1_024,
    "ffn_dim": 4_096,
    "attention_heads": 16,
}


def _transformer(name: str, summary: str, values: Mapping[str, JsonValue]) -> Preset:
    return Preset(kind="model", name=name, of="transformer", values=values, summary=summary)


PRESETS: Final = (
    _transformer(
        "transformer_tiny",
        "2+2 layers of width 64, to try things out",
        {"encoder_layers": 2, "decoder_layers": 2, "embed_dim": 64, "ffn_dim": 64, "attention_heads": 2},
    ),
    _transformer(
        "transformer_iwslt_de_en",
        "6+6 layers of width 512 with narrow feed-forward networks, for small corpora",
        {**_BASE, "ffn_dim": 1_024, "attention_heads": 4},
    ),
    _transformer("transformer_wmt_en_de", "the base model of Vaswani et al. 2017", _BASE),
    _transformer(
        "transformer_vaswani_wmt_en_de_big",
        "the big model of Vaswani et al. 2017 for English-German",
        {**_BIG, "dropout": 0.3},
    ),
    _transformer(
        "transformer_vaswani_wmt_en_fr_big",
        "the big model of Vaswani et al. 2017 for English-French",
        {**_BIG, "dropout": 0.1},
    ),
    _transformer(
        "transformer_wmt_en_de_big",
        "the big model with dropout on attention weights",
        {**_BIG, "dropout": 0.3, "attention_dropout": 0.1},
    ),
    _transformer(
        "transformer_wmt_en_de_big_t2t",
        "the big model of Tensor2Tensor: layer norm before each sublayer, dropout everywhere",
        {**_BIG, "dropout": 0.3, "attention_dropout": 0.1, "activation_dropout": 0.1, "norm": "pre"},
    ),
)
"""The named architectures as presets."""
