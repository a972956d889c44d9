"""What a transformer's table may say, and what its named architectures are."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from specforge.models.transformer.architectures import PRESETS
from specforge.models.transformer.config import TransformerConfig


def _config(**values: object) -> TransformerConfig:
    return TransformerConfig.model_validate_json(json.dumps(values))


def test_the_defaults_are_the_base_model() -> None:
    config = TransformerConfig()

    assert (config.encoder_layers, config.decoder_layers) == (6, 6)
    assert (config.embed_dim, config.ffn_dim, config.attention_heads) == (512, 2048, 8)
    assert (config.dropout, config.attention_dropout, config.activation_dropout) == (0.1, 0.0, 0.0)
    assert (config.norm, config.activation, config.positions) == ("post", "relu", "sinusoidal")


# fairseq's table of architectures: width, feed-forward width, layers of each side, heads; dropout, on attention, on activations
@pytest.mark.parametrize(
    ("name", "sizes", "dropouts", "norm"),
    [
        ("transformer_tiny", (64, 64, 2, 2), (0.1, 0.0, 0.0), "post"),
        ("transformer_iwslt_de_en", (512, 1024, 6, 4), (0.1, 0.0, 0.0), "post"),
        ("transformer_wmt_en_de", (512, 2048, 6, 8), (0.1, 0.0, 0.0), "post"),
        ("transformer_vaswani_wmt_en_de_big", (1024, 4096, 6, 16), (0.3, 0.0, 0.0), "post"),
        ("transformer_vaswani_wmt_en_fr_big", (1024, 4096, 6, 16), (0.1, 0.0, 0.0), "post"),
        ("transformer_wmt_en_de_big", (1024, 4096, 6, 16), (0.3, 0.1, 0.0), "post"),
        ("transformer_wmt_en_de_big_t2t", (1024, 4096, 6, 16), (0.3, 0.1, 0.1), "pre"),
    ],
)
def test_the_architectures_are_fairseqs(
    name: str, sizes: tuple[int, ...], dropouts: tuple[float, ...], norm: str
) -> None:
    (preset,) = (preset for preset in PRESETS if preset.name == name)
    config = _config(**preset.values)

    assert preset.of == "transformer"
    assert (config.embed_dim, config.ffn_dim, config.encoder_layers, config.attention_heads) == sizes
    assert config.decoder_layers == config.encoder_layers
    assert (config.dropout, config.attention_dropout, config.activation_dropout) == dropouts
    assert config.norm == norm


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ValidationError) as caught:
        _config(embed_dim=500, attention_heads=8)

    (error,) = caught.value.errors()
    assert error["type"] == "shape"
    assert list(error["ctx"]["labels"]) == ["embed_dim", "attention_heads"]
    assert error["ctx"]["help"] == "the nearest width that can is 496"


def test_learned_positions_need_an_end() -> None:
    with pytest.raises(ValidationError, match="learned positions need `max_positions`"):
        _config(positions="learned")

    assert _config(positions="learned", max_positions=100).max_positions == 100


def test_sinusoids_need_an_even_width() -> None:
    with pytest.raises(ValidationError, match="even"):
        _config(embed_dim=9, attention_heads=3)

    assert _config(embed_dim=9, attention_heads=3, positions="learned", max_positions=8).embed_dim == 9


@pytest.mark.parametrize("values", [{"dropout": 1.0}, {"dropout": "0.1"}, {"encoder_layers": 0}, {"norm": "sandwich"}])
def test_values_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        _config(**values)
