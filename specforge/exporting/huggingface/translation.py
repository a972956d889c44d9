"""Our encoder-decoder in Hugging Face's terms: Marian where layer norm stands after the sum, Blenderbot where before.

BART itself has a layer norm on embeddings, which ours has not. Marian's positions are sines that begin at 0 with other
frequencies, so its table is written out with ours; Blenderbot's is learned and holds any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from specforge.data.vocabulary import BOS, EOS, PAD
from specforge.exporting.exportable import Exportable
from specforge.exporting.positions import position_table, written_positions
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.layers import DecoderLayer
from specforge.models.transformer.model import Transformer
from specforge.modules.attention import CrossAttention, SelfAttention
from specforge.modules.transformer import EncoderLayer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_NEVER: Final = -1e9
"""What is added to the logits of what no output may hold."""


def translation_config(trained: Exportable, config: TransformerConfig) -> PreTrainedConfig:
    """Return the `config.json` of a translation model."""
    from transformers import BlenderbotConfig, MarianConfig

    source, target = (len(trained.vocabularies[role]) for role in ("source", "target"))
    sizes: dict[str, Any] = {
        "d_model": config.embed_dim,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.attention_heads,
        "decoder_attention_heads": config.attention_heads,
        "encoder_ffn_dim": config.ffn_dim,
        "decoder_ffn_dim": config.ffn_dim,
        "activation_function": config.activation,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "scale_embedding": config.scale_embeddings,
        "max_position_embeddings": written_positions(config),
        "bos_token_id": BOS,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "decoder_start_token_id": EOS,
        "forced_eos_token_id": None,
        "tie_word_embeddings": config.share_embeddings != "none",
    }
    if config.norm == "pre":
        sizes["tie_word_embeddings"] = config.share_embeddings == "all"
        return BlenderbotConfig(
            vocab_size=max(source, target), architectures=["BlenderbotForConditionalGeneration"], **sizes
        )
    return MarianConfig(
        vocab_size=source,
        decoder_vocab_size=target,
        share_encoder_decoder_embeddings=config.share_embeddings == "all",
        architectures=["MarianMTModel"],
        **sizes,
    )


def translation_weights(trained: Exportable, model: Transformer, config: TransformerConfig) -> dict[str, Tensor]:
    """Return the weights by the names of Marian and Blenderbot, which are BART's."""
    source, target = model.source_embedder, model.target_embedder
    rows = max(len(vocabulary) for vocabulary in trained.vocabularies.values()) if config.norm == "pre" else 0
    tables = {
        "model.encoder.embed_tokens.weight": source.table.weight,
        "model.decoder.embed_tokens.weight": target.table.weight,
        "lm_head.weight": model.output_projection.weight,
    }
    if config.share_embeddings == "all":
        tables = {"model.shared.weight": source.table.weight}
    elif config.share_embeddings == "decoder" and config.norm == "post":
        del tables["lm_head.weight"]
    named = dict(_layers("model.encoder", list(model.encoder_layers)))
    named |= dict(_layers("model.decoder", list(model.decoder_layers)))
    for side, embedder, norm in (("encoder", source, model.encoder_norm), ("decoder", target, model.decoder_norm)):
        named[f"model.{side}.embed_positions.weight"] = position_table(embedder, config)
        if isinstance(norm, nn.LayerNorm):
            named |= _pair(f"model.{side}.layer_norm", norm)
    bias = torch.zeros(1, max(rows, len(trained.vocabularies["target"])))
    bias[:, PAD] = bias[:, len(trained.vocabularies["target"]) :] = _NEVER
    if (
        config.norm == "pre" and config.share_embeddings != "all"
    ):  # the table that both sides would share is never asked
        tables["model.shared.weight"] = torch.zeros(rows, config.embed_dim)
    grown = {name: functional.pad(table, (0, 0, 0, max(0, rows - len(table)))) for name, table in tables.items()}
    return {**named, **grown, "final_logits_bias": bias}


def _layers(side: str, layers: list[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for number, layer in enumerate(layers):
        own, name = cast("EncoderLayer | DecoderLayer", layer), f"{side}.layers.{number}"
        yield from _attention(f"{name}.self_attn", own.self_attention).items()
        yield from _pair(f"{name}.self_attn_layer_norm", own.self_attention_residual.norm).items()
        if isinstance(own, DecoderLayer):
            yield from _attention(f"{name}.encoder_attn", own.cross_attention).items()
            yield from _pair(f"{name}.encoder_attn_layer_norm", own.cross_attention_residual.norm).items()
        yield from _pair(f"{name}.fc1", own.feed_forward.inner).items()
        yield from _pair(f"{name}.fc2", own.feed_forward.outer).items()
        yield from _pair(f"{name}.final_layer_norm", own.feed_forward_residual.norm).items()


def _attention(name: str, attention: SelfAttention | CrossAttention) -> dict[str, Tensor]:
    if isinstance(attention, SelfAttention):
        layer = attention.query_key_value
        weights, biases = layer.weight.chunk(3), layer.bias.chunk(3)
    else:
        weights = (attention.query.weight, *attention.key_value.weight.chunk(2))
        biases = (attention.query.bias, *attention.key_value.bias.chunk(2))
    named = _pair(f"{name}.out_proj", attention.output)
    for part, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
        named |= {f"{name}.{part}.weight": weight, f"{name}.{part}.bias": bias}
    return named


def _pair(name: str, layer: nn.Linear | nn.LayerNorm) -> dict[str, Tensor]:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
