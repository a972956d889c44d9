"""Memory that caches leave to those that come."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.layers import DecoderLayer
from specforge.modules import key_value_cache, reused_memory
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.reused_memory import ReusedMemory
from specforge.modules.source_attention import source_attention

LIKE = torch.zeros(1)


def _kept(memory: ReusedMemory) -> list[int]:
    """Return the bytes of all pieces that are free."""
    return [*(size for size, _ in memory._free), *map(len, memory._returned)]


def test_no_more_is_kept_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """104 bytes are too many, and 40 are beside 80."""
    monkeypatch.setattr(reused_memory, "_MOST", 100)
    memory = ReusedMemory()
    for tensor in [memory.empty((numbers,), LIKE) for numbers in (10, 20, 26)]:
        memory.give_back(tensor)

    tensor = memory.empty((1,), LIKE)

    assert 80 == tensor.untyped_storage().nbytes()
    assert [] == _kept(memory)


def test_it_may_be_given_back_while_some_is_looked_for() -> None:
    """As the collector of garbage does, at any moment: what is handed out must not be free at the same time."""
    memory = ReusedMemory()

    class Sizes(list[int]):
        def __iter__(self) -> Iterator[int]:
            memory.give_back(torch.zeros(64))
            return super().__iter__()

    memory.give_back(torch.zeros(64))
    memory.give_back(torch.zeros(32))
    held = [memory.empty(Sizes([16]), LIKE) for _ in range(6)]

    assert 6 == len({tensor.data_ptr() for tensor in held})


def test_a_state_that_is_gone_leaves_its_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not when garbage is collected: batches would have memory of their own until then."""
    memory = ReusedMemory()
    monkeypatch.setattr(key_value_cache, "_MEMORY", memory)
    config = TransformerConfig(embed_dim=8, ffn_dim=12, attention_heads=2)
    cache = KeyValueCache(1, 2, 2, 4, LIKE)
    layer = DecoderLayer(config).eval()
    decoding = layer.decoding(0, cache, source_attention(layer.cross_attention, torch.zeros(2, 3, 8), None))
    gc.disable()
    try:
        with torch.no_grad():
            decoding.step(torch.zeros(2, 8))
        del decoding, cache
        assert 1 == len(_kept(memory))
    finally:
        gc.enable()


def test_what_was_given_back_is_handed_out_again_whatever_its_shape_and_type() -> None:
    memory = ReusedMemory()
    large, small = memory.empty((4, 10), LIKE), memory.empty((2, 3), LIKE)
    places = [large.data_ptr(), small.data_ptr()]
    memory.give_back(large)
    memory.give_back(small)

    again = memory.empty((3, 4), LIKE.double())  # 96 bytes: of the 160
    tiny = memory.empty((6,), LIKE)
    another = memory.empty((6,), LIKE)

    assert (3, 4) == again.shape
    assert again.dtype == torch.float64
    assert [again.data_ptr(), tiny.data_ptr()] == places
    assert another.data_ptr() not in places


def test_what_is_too_small_makes_way() -> None:
    """Else inputs that become longer and longer would leave memory behind that nobody needs."""
    memory = ReusedMemory()
    for numbers in range(1, 100):
        tensor = memory.empty((numbers,), LIKE)
        memory.give_back(tensor)

    assert [99 * 4] == _kept(memory)


def test_it_may_be_given_back_while_something_is_traced() -> None:
    """By a collector that comes while a compiler looks at tensors without memory."""
    memory = ReusedMemory()
    tensor = memory.empty((5,), LIKE)
    place = tensor.data_ptr()

    with FakeTensorMode():
        memory.give_back(tensor)

    assert place == memory.empty((5,), LIKE).data_ptr()


def test_memory_of_inference_serves_training() -> None:
    memory = ReusedMemory()
    with torch.inference_mode():
        memory.give_back(memory.empty((5,), LIKE).fill_(1.0))

    tensor = memory.empty((5,), LIKE).zero_()  # an inference tensor could not be changed here
    weight = torch.ones(5, requires_grad=True)
    (weight * tensor).sum().backward()

    assert not tensor.is_inference()
    assert weight.grad is not None


def test_other_devices_keep_memory_themselves() -> None:
    memory = ReusedMemory()
    tensor = memory.empty((2, 2), torch.zeros(1, device="meta"))
    memory.give_back(tensor)

    assert tensor.device.type == "meta"
    assert [] == _kept(memory)


def test_caches_one_after_the_other_have_the_same_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_value_cache, "_MEMORY", ReusedMemory())

    def places() -> set[int]:
        """Decode 40 symbols with a beam of 2, and return where the keys stood."""
        cache, found = KeyValueCache(1, 6, 2, 4, LIKE, beam=2), set()
        for _ in range(40):
            cache.attend(0, torch.ones(3 * cache.distinct, 24))
            found.add(cache._current.data_ptr())
            cache.advance()
        return found

    found = [places() for _ in range(5)]

    assert 4 == len(found[0])  # room for 16, for 24, for 36, for 54
    assert found[2] == found[3] == found[4]
    assert 2 == len(found[4])  # each large enough for all


def test_sentences_that_move_leave_their_old_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = ReusedMemory()
    monkeypatch.setattr(key_value_cache, "_MEMORY", memory)
    cache = KeyValueCache(1, 4, 1, 1, LIKE)
    before = cache._current.data_ptr()
    cache.attend(0, torch.tensor([[0.0, 0.0, number] for number in (1.0, 2.0, 3.0, 4.0)]))
    cache.advance()

    cache.select(torch.tensor([3, 2, 1]))  # too many change places to do so where they are
    found = cache.attend(0, torch.tensor([[0.0, 0.0, number] for number in (14.0, 13.0, 12.0)]))

    assert [before] == [piece.data_ptr() for _, piece in memory._free] + [
        piece.data_ptr() for piece in memory._returned
    ]
    assert [[9.0], [8.0], [7.0]] == found.tolist()  # of old and new, as much of each


def test_two_caches_at_a_time_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_value_cache, "_MEMORY", ReusedMemory())
    caches = [KeyValueCache(1, 2, 1, 1, LIKE) for _ in range(2)]
    for number, cache in enumerate(caches):
        cache.attend(0, torch.tensor([[0.0, 0.0, float(number)]] * 2))
        cache.advance()

    found = [cache.attend(0, torch.tensor([[0.0, 0.0, 7.0]] * 2)).flatten().tolist() for cache in caches]

    assert [[3.5, 3.5], [4.0, 4.0]] == found
