"""A decoder-only transformer as fairseq builds it: every symbol from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from specforge.data.batch import Batch, SequenceBatch
from specforge.models.model import LanguageModel, OutputLayer
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.modules.embedding import symbol_embedding
from specforge.modules.packing import Packing, packing
from specforge.modules.transformer import Embedder, EncoderLayer, packs_layers
from specforge.plugin import ModelContext


class TransformerLM(LanguageModel):
    """A transformer language model.

    Args:
        config: sizes, regularisation and form.
        context: the vocabulary.
    """

    def __init__(self, config: TransformerLMConfig, context: ModelContext) -> None:
        super().__init__()
        self._config = config
        symbols, dim = context.symbols["text"], config.embed_dim
        table = symbol_embedding(symbols, dim, dim**-0.5)
        self.embedder = Embedder(config, table, symbols)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.decoder_layers))
        # Layer norm before each sublayer leaves the last sum without one.
        self.norm = nn.LayerNorm(dim) if config.norm == "pre" else nn.Identity()
        self.output_projection = nn.Linear(dim, symbols.size, bias=False)
        if config.share_embeddings:
            self.output_projection.weight = table.weight
        else:
            nn.init.normal_(self.output_projection.weight, std=dim**-0.5)

    def features(self, batch: Batch) -> Tensor:
        """Return the last layer, [batch, length, dim]."""
        assert isinstance(batch, SequenceBatch)
        values: Tensor = self.embedder(batch.text_in)
        packed = self._packing(batch)
        if packed is not None:
            values = packed.pack(values)
        for layer in self.layers:
            # No mask on the text: its padding stands after all that counts.
            values = layer(values, None, causal=True, packing=packed)
        normed: Tensor = self.norm(values)
        return normed if packed is None else packed.unpack(normed)

    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of features [..., dim]."""
        return functional.linear(features, self.output_projection.weight)

    def output_layer(self) -> OutputLayer:
        """Return the projection's parameters."""
        return OutputLayer(self.output_projection.weight)

    def blocks(self) -> Sequence[nn.Module]:
        """Return the layers; see the base class."""
        return tuple(self.layers)

    def max_positions(self) -> Mapping[str, int]:
        """Return the longest text; see the base class."""
        return self._config.longest_items()

    def _packing(self, batch: SequenceBatch) -> Packing | None:
        """Return where the symbols stand, where training goes without padding."""
        if not self.training or not packs_layers(self._config, batch.text_in.device):
            return None
        return packing(batch.lengths, batch.text_in.shape[1], batch.symbols.get("text"))


def build(config: TransformerLMConfig, context: ModelContext) -> TransformerLM:
    """Return a new model with random weights."""
    return TransformerLM(config, context)
