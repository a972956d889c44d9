"""Tables of symbols."""

from __future__ import annotations

import pytest
import torch

from specforge.modules.embedding import symbol_embedding
from specforge.plugin import Symbols


def test_padding_is_zero_and_the_rest_is_drawn() -> None:
    torch.manual_seed(1)
    table = symbol_embedding(Symbols(2_000), 64, 0.125)

    assert not bool(table.weight[1].any())
    assert table.weight[2:].std().item() == pytest.approx(0.125, rel=0.02)
    assert bool(table.weight[0].all())
