"""Tables of symbols."""

from __future__ import annotations

from torch import nn

from specforge.plugin import Symbols


def symbol_embedding(symbols: Symbols, dim: int, deviation: float) -> nn.Embedding:
    """Return a table [vocabulary, dim] drawn from N(0, deviation²), the row of padding zero.

    Args:
        symbols: the vocabulary.
        dim: width.
        deviation: standard deviation: fairseq's transformer takes dim ** -0.5, its fconv 0.1.
    """
    table = nn.Embedding(symbols.size, dim, padding_idx=symbols.pad)
    nn.init.normal_(table.weight, std=deviation)
    table._fill_padding_idx_with_zero()  # noqa: SLF001  # what nn.Embedding itself does after drawing
    return table
