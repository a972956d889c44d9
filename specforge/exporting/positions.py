"""Positions as a table, which is all that other formats can hold: theirs begin at other numbers, with other waves."""

from __future__ import annotations

import torch
from torch import Tensor

from specforge.exporting.exportable import MOST_POSITIONS
from specforge.models.transformer.layers_config import TransformerLayersConfig
from specforge.modules.transformer import Embedder


def written_positions(config: TransformerLayersConfig) -> int:
    """Return how many positions an export has."""
    return config.max_positions or MOST_POSITIONS


def position_table(embedder: Embedder, config: TransformerLayersConfig) -> Tensor:
    """Return what an embedder adds at each position, [positions, dim]."""
    with torch.no_grad():
        added: Tensor = embedder.positions(torch.zeros(written_positions(config), config.embed_dim))
    return added
