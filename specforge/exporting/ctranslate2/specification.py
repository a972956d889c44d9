"""Our transformers in the terms of CTranslate2: which of its variables holds which of our weights.

Its attention has the layout of ours: one matrix for queries, keys and values, one for the keys and values of the source. Tied
tables are given twice, and written once. Positions are always written: its own begin at another number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

import torch
from torch import Tensor, nn

from specforge.data.vocabulary import BOS, EOS, PAD, SPECIAL_SYMBOLS, UNK
from specforge.exporting.exportable import Exportable, all_pieces, cannot_hold
from specforge.exporting.positions import position_table
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.layers import DecoderLayer
from specforge.models.transformer.layers_config import TransformerLayersConfig
from specforge.models.transformer.model import Transformer
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import TransformerLM
from specforge.modules.transformer import Embedder, EncoderLayer

if TYPE_CHECKING:
    from ctranslate2.specs import (
        TransformerDecoderModelSpec,
        TransformerDecoderSpec,
        TransformerEncoderSpec,
        TransformerSpec,
    )
    from ctranslate2.specs.attention_spec import MultiHeadAttentionSpec
    from ctranslate2.specs.common_spec import LayerNormSpec, LinearSpec
    from ctranslate2.specs.transformer_spec import FeedForwardSpec

    Specification: TypeAlias = TransformerSpec | TransformerDecoderModelSpec

NAME: Final = "CTranslate2"

_ACTIVATIONS: Final = {"relu": "RELU", "gelu": "GELU", "silu": "SWISH"}

_NEVER: Final = -1e9
"""What is added to the logit of padding, which the model knows and no search may give."""


def specification(trained: Exportable) -> Specification:
    """Return the model as CTranslate2 writes it.

    Raises:
        WrongInputError: SF711, it has no such model.
    """
    model, config = trained.model, trained.config
    if type(model) is Transformer and isinstance(config, TransformerConfig):
        return _translation(trained, model, config)
    if type(model) is TransformerLM and isinstance(config, TransformerLMConfig):
        return _language_model(trained, model, config)
    raise cannot_hold(
        NAME, f"the model `{trained.use}`", "it holds `specforge/transformer` and `specforge/transformer_lm`"
    )


def _translation(trained: Exportable, model: Transformer, config: TransformerConfig) -> TransformerSpec:
    from ctranslate2.specs import TransformerSpec

    spec = TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.attention_heads,
        pre_norm=config.norm == "pre",
        activation=_activation(config),
    )
    _set_encoder(spec.encoder, model, config)
    _set_decoder(spec.decoder, model.target_embedder, list(model.decoder_layers), model.decoder_norm, config)
    _set_projection(spec.decoder.projection, model.output_projection)
    spec.register_source_vocabulary(all_pieces(trained.vocabularies["source"]))
    spec.register_target_vocabulary(all_pieces(trained.vocabularies["target"]))
    spec.config.bos_token = SPECIAL_SYMBOLS[BOS]
    spec.config.eos_token = SPECIAL_SYMBOLS[EOS]
    spec.config.unk_token = SPECIAL_SYMBOLS[UNK]
    spec.config.decoder_start_token = SPECIAL_SYMBOLS[EOS]
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = _epsilon(model)
    return spec


def _language_model(
    trained: Exportable, model: TransformerLM, config: TransformerLMConfig
) -> TransformerDecoderModelSpec:
    from ctranslate2.specs import TransformerDecoderModelSpec

    spec = TransformerDecoderModelSpec.from_config(
        config.decoder_layers,
        config.attention_heads,
        pre_norm=config.norm == "pre",
        activation=_activation(config),
    )
    _set_decoder(spec.decoder, model.embedder, list(model.layers), model.norm, config)
    _set_projection(spec.decoder.projection, model.output_projection)
    spec.register_vocabulary(all_pieces(trained.vocabularies["text"]))
    spec.config.bos_token = SPECIAL_SYMBOLS[EOS]  # a text begins after the end of another
    spec.config.eos_token = SPECIAL_SYMBOLS[EOS]
    spec.config.unk_token = SPECIAL_SYMBOLS[UNK]
    spec.config.layer_norm_epsilon = _epsilon(model)
    return spec


def _set_encoder(spec: TransformerEncoderSpec, model: Transformer, config: TransformerConfig) -> None:
    spec.embeddings[0].weight = _numbers(model.source_embedder.table.weight)
    _set_embedder(spec, model.source_embedder, config)
    if isinstance(model.encoder_norm, nn.LayerNorm):
        _set_norm(spec.layer_norm, model.encoder_norm)
    for target, layer in zip(spec.layer, model.encoder_layers, strict=True):
        own = cast("EncoderLayer", layer)
        _set_self_attention(target.self_attention, own)
        _set_feed_forward(target.ffn, own)


def _set_decoder(
    spec: TransformerDecoderSpec,
    embedder: Embedder,
    layers: list[nn.Module],
    norm: nn.Module,
    config: TransformerLayersConfig,
) -> None:
    spec.embeddings.weight = _numbers(embedder.table.weight)
    _set_embedder(spec, embedder, config)
    if isinstance(norm, nn.LayerNorm):
        _set_norm(spec.layer_norm, norm)
    for target, layer in zip(spec.layer, layers, strict=True):
        own = cast("EncoderLayer | DecoderLayer", layer)
        _set_self_attention(target.self_attention, own)
        if isinstance(own, DecoderLayer):
            source = own.cross_attention
            _set_norm(target.attention.layer_norm, own.cross_attention_residual.norm)
            _set_linear(target.attention.linear[0], source.query)
            _set_linear(target.attention.linear[1], source.key_value)
            _set_linear(target.attention.linear[2], source.output)
        _set_feed_forward(target.ffn, own)


def _set_embedder(
    spec: TransformerEncoderSpec | TransformerDecoderSpec, embedder: Embedder, config: TransformerLayersConfig
) -> None:
    spec.scale_embeddings = config.embed_dim**0.5 if config.scale_embeddings else 1.0
    spec.position_encodings.encodings = _numbers(position_table(embedder, config))


def _set_self_attention(spec: MultiHeadAttentionSpec, layer: EncoderLayer | DecoderLayer) -> None:
    _set_norm(spec.layer_norm, layer.self_attention_residual.norm)
    _set_linear(spec.linear[0], layer.self_attention.query_key_value)
    _set_linear(spec.linear[1], layer.self_attention.output)


def _set_feed_forward(spec: FeedForwardSpec, layer: EncoderLayer | DecoderLayer) -> None:
    _set_norm(spec.layer_norm, layer.feed_forward_residual.norm)
    _set_linear(spec.linear_0, layer.feed_forward.inner)
    _set_linear(spec.linear_1, layer.feed_forward.outer)


def _set_projection(spec: LinearSpec, layer: nn.Linear) -> None:
    spec.weight = _numbers(layer.weight)
    bias = torch.zeros(layer.out_features)
    bias[PAD] = _NEVER
    spec.bias = _numbers(bias)


def _set_linear(spec: LinearSpec, layer: nn.Linear) -> None:
    spec.weight = _numbers(layer.weight)
    spec.bias = _numbers(layer.bias)


def _set_norm(spec: LayerNormSpec, layer: nn.LayerNorm) -> None:
    spec.gamma = _numbers(layer.weight)
    spec.beta = _numbers(layer.bias)


def _activation(config: TransformerLayersConfig) -> int:
    from ctranslate2.specs import common_spec

    value: int = common_spec.Activation[_ACTIVATIONS[config.activation]]
    return value


def _epsilon(model: nn.Module) -> float:
    return next(module.eps for module in model.modules() if isinstance(module, nn.LayerNorm))


def _numbers(tensor: Tensor) -> object:
    """Return a copy: quantization computes in place, and the model is still to be compared with."""
    return tensor.detach().to("cpu", torch.float32, copy=True).numpy()
