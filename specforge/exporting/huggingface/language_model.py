"""Our decoder-only transformer as GPT-2: layer norm before each sublayer, positions in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from specforge.data.vocabulary import EOS, PAD
from specforge.exporting.exportable import Exportable
from specforge.exporting.positions import position_table, written_positions
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import TransformerLM
from specforge.modules.transformer import EncoderLayer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def language_model_config(trained: Exportable, config: TransformerLMConfig) -> PreTrainedConfig:
    """Return the `config.json` of a language model."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(trained.vocabularies["text"]),
        n_positions=written_positions(config),
        n_embd=config.embed_dim,
        n_layer=config.decoder_layers,
        n_head=config.attention_heads,
        n_inner=config.ffn_dim,
        activation_function=config.activation,
        resid_pdrop=config.dropout,
        embd_pdrop=config.dropout,
        attn_pdrop=config.attention_dropout,
        layer_norm_epsilon=1e-5,
        bos_token_id=EOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        tie_word_embeddings=_tied(config),
        architectures=["GPT2LMHeadModel"],
    )


def language_model_weights(model: TransformerLM, config: TransformerLMConfig) -> dict[str, Tensor]:
    """Return the weights by GPT-2's names; its layers multiply from the other side, so matrices are transposed."""
    table = model.embedder.table.weight
    named = {
        "transformer.wte.weight": table * config.embed_dim**0.5 if config.scale_embeddings else table,
        "transformer.wpe.weight": position_table(model.embedder, config),
    }
    if not _tied(config):
        named["lm_head.weight"] = model.output_projection.weight
    for number, layer in enumerate(model.layers):
        own, name = cast("EncoderLayer", layer), f"transformer.h.{number}"
        named |= _norm(f"{name}.ln_1", own.self_attention_residual.norm)
        named |= _transposed(f"{name}.attn.c_attn", own.self_attention.query_key_value)
        named |= _transposed(f"{name}.attn.c_proj", own.self_attention.output)
        named |= _norm(f"{name}.ln_2", own.feed_forward_residual.norm)
        named |= _transposed(f"{name}.mlp.c_fc", own.feed_forward.inner)
        named |= _transposed(f"{name}.mlp.c_proj", own.feed_forward.outer)
    assert isinstance(model.norm, nn.LayerNorm), "GPT-2 is refused to models without a norm at the end"
    return named | _norm("transformer.ln_f", model.norm)


def _tied(config: TransformerLMConfig) -> bool:
    """Return whether one table serves for both; scaled embeddings are written as they are used, so they are another."""
    return config.share_embeddings and not config.scale_embeddings


def _norm(name: str, layer: nn.LayerNorm) -> dict[str, Tensor]:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}


def _transposed(name: str, layer: nn.Linear) -> dict[str, Tensor]:
    return {f"{name}.weight": layer.weight.t(), f"{name}.bias": layer.bias}
