"""Compiled loops compute what products compute, and where they cannot, products do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from specforge.modules import attention_loops
from specforge.modules.attention_loops import attend_to_prefix, attend_to_source, compiled_loops, loops_for
from specforge.modules.key_value_cache import KeyValueCache
from specforge.modules.places import Places

numba = pytest.importorskip("numba")

HEADS, HEAD_DIM = 2, 3


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Nobody has asked for the loops yet, nor will have."""
    compiled_loops.cache_clear()
    yield
    compiled_loops.cache_clear()


def _caches(sentences: int, beam: int) -> tuple[KeyValueCache, KeyValueCache]:
    """Return a cache with loops, and one that computes products."""
    loops, products = (KeyValueCache(1, sentences * beam, HEADS, HEAD_DIM, torch.zeros(1), beam) for _ in range(2))
    assert loops._loops is not None
    products._loops = None
    return loops, products


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize(("scale", "tolerance"), [(1.0, 1e-5), (30.0, 1e-2)])  # e to the power of thousands, too
def test_a_cache_finds_the_same_in_loops_and_by_products(beam: int, scale: float, tolerance: float) -> None:
    """Prefixes continue one another at random, and sentences end, until one is left."""
    torch.manual_seed(beam)
    sentences = 6
    loops, products = _caches(sentences, beam)

    for step in range(30):  # the cache grows twice
        projected = scale * torch.randn(sentences * loops.distinct, 3 * HEADS * HEAD_DIM)
        torch.testing.assert_close(loops.attend(0, projected), products.attend(0, projected), rtol=0.0, atol=tolerance)
        ends = step % 5 == 4 and sentences > 1
        kept = torch.randperm(sentences)[:-1] if step % 10 == 4 else torch.arange(sentences)[: -1 if ends else None]
        continued = torch.randint(0, beam, (len(kept), beam))
        for cache in (loops, products):
            cache.advance()
            cache.select((kept[:, None] * beam + continued).flatten(), Places(kept, sentences) if ends else None)
        sentences = len(kept)
    assert 1 == sentences


def test_a_prefix_that_continues_itself_sees_what_stands_for_all() -> None:
    """At the first step there is one prefix; the others begin where it did, though nobody reorders them."""
    loops, products = _caches(2, beam=3)
    for rows in (2, 6, 6):
        projected = torch.randn(rows, 3 * HEADS * HEAD_DIM)
        torch.testing.assert_close(loops.attend(0, projected), products.attend(0, projected))
        for cache in (loops, products):
            cache.advance()


def test_what_a_bias_hides_is_not_found() -> None:
    """As the places between prompts of different lengths and what continues them."""
    cache, _ = _caches(2, 1)
    hidden = torch.zeros(2, 18)
    hidden[:, 12:] = 1e6
    cache.attend(0, hidden)
    cache.advance()
    bias = torch.zeros(2 * HEADS, 1, 2)
    bias[:HEADS, :, 0] = -torch.inf

    found = cache.attend(0, torch.zeros(2, 18), bias)

    assert [[0.0] * 6, [5e5] * 6] == found.tolist()


def test_numbers_of_autocast_are_stored_as_all_others() -> None:
    loops, products = _caches(2, 1)
    projected = torch.randn(2, 18).bfloat16()

    torch.testing.assert_close(loops.attend(0, projected), products.attend(0, projected.float()))


def test_what_is_compiled_is_what_is_written() -> None:
    loops = compiled_loops()
    assert loops is not None
    torch.manual_seed(1)
    projected, slots = torch.randn(4, 18), torch.tensor([[[1, 2], [0, 3]], [[0, 2], [1, 3]]])
    stored, queries, bias = torch.randn(2, 2, HEADS, 4, HEAD_DIM), torch.randn(4, 6), torch.randn(2, HEADS, 4)
    bias[0, :, 3] = -torch.inf

    prefixes, sources = [], []
    for functions in (loops, attention_loops.AttentionLoops(attend_to_prefix, attend_to_source)):
        keys, values = stored.clone().numpy()
        found, weights = torch.empty(4, 6), torch.empty(2, HEADS, 2, 4)
        functions.to_prefix(projected.numpy(), slots.numpy(), 2, 1, keys, values, found.numpy())
        prefixes.append((found.clone(), torch.from_numpy(keys), torch.from_numpy(values)))
        functions.to_source(queries.numpy(), keys, values, bias.numpy(), 0.5, found.numpy(), weights.numpy())
        sources.append((found, weights))

    torch.testing.assert_close(*prefixes)
    torch.testing.assert_close(*sources)
    assert not sources[0][1][0, :, :, 3].any()


@pytest.mark.parametrize("like", [torch.zeros(1, dtype=torch.float64), torch.zeros(1, device="meta")], ids=str)
def test_other_numbers_and_devices_have_products(like: Tensor) -> None:
    assert loops_for(torch.zeros(1)) is not None
    assert loops_for(like) is None


@pytest.mark.usefixtures("forgotten")
def test_without_numba_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_loops, "find_spec", lambda name: {"numba": None}[name])

    assert compiled_loops() is None
    assert KeyValueCache(1, 1, 1, 1, torch.zeros(1))._loops is None


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("error", [ImportError, OSError, AttributeError])
def test_a_numba_that_cannot_be_used_is_told_of(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(numba, "njit", broken)

    with pytest.warns(RuntimeWarning, match=f"decoding goes without numba.*{error.__name__}"):
        assert compiled_loops() is None


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("error", [RuntimeError, EOFError, OSError])
def test_they_need_not_be_kept(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be no folder to keep them in, a full one, or what stands there is broken."""
    kept, njit = [], numba.njit

    def nowhere(signatures: list[str], *, cache: bool, fastmath: set[str], error_model: str) -> object:
        kept.append(cache)
        if cache:
            raise error
        return njit(signatures, fastmath=fastmath, error_model=error_model)

    monkeypatch.setattr(numba, "njit", nowhere)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled_loops() is not None
    assert [True, False] * 2 == kept
