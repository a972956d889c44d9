"""What a convolutional model's table may say, and what its named architectures are."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from specforge.models.fconv.architectures import PRESETS
from specforge.models.fconv.config import FConvConfig, residual_of


def _config(**values: object) -> FConvConfig:
    return FConvConfig.model_validate_json(json.dumps(values))


# fairseq's table of architectures: width, channels and kernel width of each layer, width below the output
@pytest.mark.parametrize(
    ("name", "embed_dim", "encoder", "decoder", "out_embed_dim"),
    [
        ("fconv_iwslt_de_en", 256, [(256, 3)] * 4, [(256, 3)] * 3, 256),
        ("fconv_wmt_en_ro", 512, [(512, 3)] * 20, [(512, 3)] * 20, 512),
        ("fconv_wmt_en_de", 768, [(512, 3)] * 9 + [(1024, 3)] * 4 + [(2048, 1)] * 2, None, 512),
        (
            "fconv_wmt_en_fr",
            768,
            [(512, 3)] * 6 + [(768, 3)] * 4 + [(1024, 3)] * 3 + [(2048, 1), (4096, 1)],
            None,
            512,
        ),
    ],
)
def test_the_architectures_are_fairseqs(
    name: str,
    embed_dim: int,
    encoder: list[tuple[int, int]],
    decoder: list[tuple[int, int]] | None,
    out_embed_dim: int,
) -> None:
    (preset,) = (preset for preset in PRESETS if preset.name == name)
    config = _config(**preset.values)

    assert preset.of == "fconv"
    assert (config.embed_dim, config.out_embed_dim) == (embed_dim, out_embed_dim)
    assert list(config.encoder_layers) == encoder
    assert list(config.decoder_layers) == (decoder or encoder)
    assert config.dropout == 0.1
    assert config.attending() == (True,) * len(config.decoder_layers)


def test_the_defaults_are_fconv() -> None:
    config = FConvConfig()

    assert config.encoder_layers == config.decoder_layers == ((512, 3),) * 20
    assert (config.embed_dim, config.out_embed_dim, config.max_positions) == (512, 256, 1022)


def test_the_third_number_is_the_start_of_the_residual_connection() -> None:
    config = _config(encoder_layers=[[8, 3], [8, 3, 2], [8, 1, 0]])

    assert [residual_of(layer) for layer in config.encoder_layers] == [1, 2, 0]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "at least one layer"),
        ([[512]], r"a layer is \[channels, kernel width\]"),
        ([[512, 3, 1, 1]], r"a layer is \[channels, kernel width\]"),
        ([[512, 0]], r"a layer is \[channels, kernel width\]"),
        ([[512, 3, -1]], r"a layer is \[channels, kernel width\]"),
        ([[512, 3], [512, 3, 3]], "layer 2 starts 3 layers back"),
        ([[512, "3"]], "valid integer"),
    ],
)
def test_a_layer_that_cannot_be_is_refused_once(layers: list[list[object]], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        _config(encoder_layers=layers)

    assert caught.value.error_count() == 1


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({"decoder_attention": [True]}, ["decoder_attention", "decoder_layers"]),
        ({"decoder_layers": [[8, 3]], "decoder_attention": [False]}, ["decoder_attention"]),
        ({"share_input_output_embed": True}, ["share_input_output_embed", "out_embed_dim"]),
    ],
)
def test_values_that_disagree_are_both_named(values: dict[str, object], labels: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        _config(**values)

    (error,) = caught.value.errors()
    assert error["type"] == "shape"
    assert list(error["ctx"]["labels"]) == labels
