"""What all batches have in common."""

from __future__ import annotations

import torch

from specforge.data.batch import ClassificationBatch, SequenceBatch, SequencePairBatch

PAD, EOS = 1, 2


def _tensor(*rows: list[int]) -> torch.Tensor:
    return torch.tensor([*rows])


def test_padding_does_not_count_in_a_pair() -> None:
    target = _tensor([7, EOS, PAD], [8, 9, EOS])
    batch = SequencePairBatch(
        _tensor([5, EOS], [6, EOS]), torch.tensor([2, 2]), target, target, torch.tensor([2, 3]), target_tokens=5
    )

    assert [[True, True, False], [True, True, True]] == batch.counted.tolist()
    assert {"source": 2, "target": 3} == batch.sides()
    assert 2 == batch.items


def test_some_rows_count_their_own_targets() -> None:
    batch = SequenceBatch(
        _tensor([EOS, 5, 6], [EOS, 7, PAD]),
        _tensor([PAD, 6, EOS], [7, EOS, PAD]),
        torch.tensor([3, 2]),
        target_tokens=4,
        symbols={"text": 5},
    )

    first, second = batch.rows(0, 1), batch.rows(1, 2)

    assert (2, 2) == (first.target_tokens, second.target_tokens)
    assert {} == first.symbols == second.symbols  # nobody has counted them
    assert [[PAD, 6, EOS]] == first.targets.tolist()
    assert [[EOS, 7, PAD]] == second.text_in.tolist()  # padded as in the whole batch


def test_every_label_counts_and_a_copy_is_equal() -> None:
    batch = ClassificationBatch(
        _tensor([5, EOS], [EOS, PAD]), torch.tensor([2, 1]), torch.tensor([1, 0]), target_tokens=2
    )

    there = batch.to(torch.device("cpu"))

    assert [True, True] == batch.counted.tolist()
    assert {"text": 2} == batch.sides()
    assert batch.labels.tolist() == there.labels.tolist()
    assert {"text", "text_lengths", "labels"} == there.tensors().keys()
