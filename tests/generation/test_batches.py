"""Batches lose no sentence and keep to their budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from specforge.generation.batches import decoding_batches


def test_sentences_of_like_length_stand_together_longest_first() -> None:
    # 64 tokens: one of 40, then three of 20, then four that count as 16, and the fifth
    assert [[2], [0, 3, 5], [1, 4, 6, 7], [8]] == decoding_batches([20, 3, 40, 20, 2, 20, 2, 2, 2], 64)


@given(lengths=st.lists(st.integers(1, 300), max_size=60), batch_tokens=st.integers(1, 1_000))
def test_every_sentence_once_and_no_batch_over_its_budget(lengths: list[int], batch_tokens: int) -> None:
    batches = decoding_batches(lengths, batch_tokens)

    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[number] for number in batch)
        assert len(batch) == 1 or len(batch) * max(longest, 16) <= batch_tokens
    longest_first = [lengths[number] for batch in batches for number in batch]
    assert longest_first == sorted(lengths, reverse=True)


def test_batches_that_cores_share_take_a_quarter_of_what_is_left() -> None:
    lengths = [20] * 1_600  # 32,000 tokens

    shared = [len(batch) for batch in decoding_batches(lengths, 10_240, shared=True)]

    assert [400, 300, 225] == shared[:3]  # 8,000 tokens, a quarter of 24,000, of 18,000
    assert {51} == set(shared[-4:-1])  # 1,024 tokens at least
    assert [512] * 3 + [64] == [len(batch) for batch in decoding_batches(lengths, 10_240)]
    assert [100] == [len(batch) for batch in decoding_batches(lengths, 2_000, shared=True)][:1]
