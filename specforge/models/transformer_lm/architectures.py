"""Decoder-only transformers by the names that fairseq gave them; `transformer_lm` itself is fairseq's, too.

The sizes are fairseq's, not those of the papers: its `transformer_lm_gpt2_small` is as large as GPT-2 medium, has sinusoidal
positions and two tables of embeddings. `transformer_lm_wiki103` and `transformer_lm_gbw` need an adaptive softmax, which is
not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from specforge.plugin import Preset

_GPT3_POSITIONS: Final = 2_048


def _lm(name: str, summary: str, dim: int, layers: int, heads: int, values: Mapping[str, JsonValue]) -> Preset:
    sizes: dict[str, JsonValue] = {"embed_dim": dim, "ffn_dim": 4 * dim, "decoder_layers": layers}
    return Preset(
        kind="model",
        name=name,
        of="transformer_lm",
        values={**sizes, "attention_heads": heads, **values},
        summary=summary,
    )


def _gpt2(size: str, dim: int, layers: int, heads: int, **values: JsonValue) -> Preset:
    summary = f"{layers} layers of width {dim:,} with GELU and dropout on attention weights"
    both: dict[str, JsonValue] = {"activation": "gelu", "dropout": 0.1, "attention_dropout": 0.1}
    return _lm(f"transformer_lm_gpt2_{size}", summary, dim, layers, heads, {**both, **values})


def _gpt3(size: str, dim: int, layers: int, heads: int) -> Preset:
    values: dict[str, JsonValue] = {
        "activation": "gelu",
        "dropout": 0.0,
        "share_embeddings": True,
        "positions": "learned",
        "max_positions": _GPT3_POSITIONS,
    }
    summary = f"{layers} layers of width {dim:,}, learned positions, one table of embeddings (Brown et al. 2020)"
    return _lm(f"transformer_lm_gpt3_{size}", summary, dim, layers, heads, values)


PRESETS: Final = (
    _lm("transformer_lm_big", "12 layers of width 1,024", 1_024, 12, 16, {}),
    _lm(
        "transformer_lm_gpt",
        "the sizes of GPT (Radford et al. 2018): 12 layers of width 768 with GELU",
        768,
        12,
        12,
        {"activation": "gelu", "dropout": 0.1, "attention_dropout": 0.1},
    ),
    _gpt2("tiny", 64, 2, 1, ffn_dim=64),
    _gpt2("small", 1_024, 24, 16),
    _gpt2("medium", 1_280, 36, 20),
    _gpt2("big", 1_600, 48, 25),
    _gpt3("small", 768, 12, 12),
    _gpt3("medium", 1_024, 24, 16),
    _gpt3("large", 1_536, 24, 16),
    _gpt3("xl", 2_048, 24, 32),
    _gpt3("2_7", 2_560, 32, 32),
    _gpt3("6_7", 4_096, 32, 32),
    _gpt3("13", 5_120, 40, 40),
    _gpt3("175", 12_288, 96, 96),
)
"""The named architectures as presets."""
