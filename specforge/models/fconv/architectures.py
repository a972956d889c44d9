"""Convolutional models by the names that fairseq gave them; `fconv` itself is the fifth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from specforge.plugin import Preset


def _both(layers: Sequence[tuple[int, int, int]]) -> dict[str, JsonValue]:
    """Return the layers of both sides, from (how many, channels, kernel width)."""
    stack: list[JsonValue] = [[channels, kernel] for count, channels, kernel in layers for _ in range(count)]
    return {"encoder_layers": stack, "decoder_layers": stack}


def _fconv(name: str, summary: str, values: Mapping[str, JsonValue]) -> Preset:
    return Preset(kind="model", name=name, of="fconv", values=values, summary=summary)


PRESETS: Final = (
    _fconv(
        "fconv_iwslt_de_en",
        "4+3 layers of width 256, for small corpora",
        {
            "embed_dim": 256,
            "encoder_layers": [[256, 3]] * 4,
            "decoder_layers": [[256, 3]] * 3,
            "out_embed_dim": 256,
        },
    ),
    _fconv("fconv_wmt_en_ro", "20+20 layers of width 512", {**_both([(20, 512, 3)]), "out_embed_dim": 512}),
    _fconv(
        "fconv_wmt_en_de",
        "15+15 layers of width 512 to 2,048",
        {"embed_dim": 768, **_both([(9, 512, 3), (4, 1_024, 3), (2, 2_048, 1)]), "out_embed_dim": 512},
    ),
    _fconv(
        "fconv_wmt_en_fr",
        "15+15 layers of width 512 to 4,096",
        {
            "embed_dim": 768,
            **_both([(6, 512, 3), (4, 768, 3), (3, 1_024, 3), (1, 2_048, 1), (1, 4_096, 1)]),
            "out_embed_dim": 512,
        },
    ),
)
"""The named architectures as presets."""
