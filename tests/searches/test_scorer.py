"""Log-probabilities from logits."""

from __future__ import annotations

import pytest
import torch

from specforge.searches.scorer import log_probabilities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_take_the_place_of_logits(dtype: torch.dtype) -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]], dtype=dtype)
    expected = logits.softmax(dim=-1).log()

    found = log_probabilities(logits)

    assert logits.data_ptr() == found.data_ptr()
    torch.testing.assert_close(found, expected)


def test_narrow_logits_become_wide_log_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.bfloat16)
    kept = logits.clone()

    found = log_probabilities(logits)

    torch.testing.assert_close(found, logits.float().log_softmax(dim=-1))
    assert torch.equal(kept, logits)
