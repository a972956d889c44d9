"""Steps that are recorded and replayed find what steps find that are computed anew."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from model_samples import PAD, SOURCE_TYPES, TARGET_TYPES, make
from replays import Replays
from torch import Tensor

from specforge.models.model import EncoderDecoder
from specforge.models.transformer import recorded as recorded_module
from specforge.models.transformer.model import Transformer
from specforge.models.transformer.recorded import RecordedState, _rounded
from specforge.modules.recorder import CudaGraphs
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.search import build as beam_search
from specforge.searches.diverse_beam.config import DiverseBeamConfig
from specforge.searches.diverse_beam.search import build as diverse_beam_search
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.greedy.search import build as greedy_search
from specforge.searches.scorer import ModelScorer
from specforge.searches.search import Hypothesis, Search, Sources

SYMBOLS = Symbols(TARGET_TYPES)
SEARCHES = {
    "greedy": lambda: greedy_search(GreedyConfig(max_length=(0.0, 40))),
    "beam": lambda: beam_search(BeamConfig(beam=3, max_length=(2.0, 5))),
    "diverse beam": lambda: diverse_beam_search(DiverseBeamConfig(beam=4, groups=2, max_length=(1.0, 20))),
}


def _batches(seed: int, sizes: Sequence[tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
    """Return sources and their lengths: so many sentences, and the length of the longest."""
    random = torch.Generator().manual_seed(seed)
    batches = []
    for sentences, longest in sizes:
        lengths = torch.randint(1, longest + 1, (sentences,), generator=random)
        lengths[0] = longest
        source = torch.randint(4, SOURCE_TYPES, (sentences, longest), generator=random)
        source[torch.arange(longest) >= lengths[:, None]] = PAD
        batches.append((source, lengths))
    return batches


def _found(model: EncoderDecoder, search: Search, source: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
    with torch.no_grad():
        return search.search(ModelScorer(model), Sources(source, lengths), SYMBOLS, attention=True)


def _models(name: str) -> tuple[EncoderDecoder, EncoderDecoder, Replays]:
    """Return a model, and the same recorded."""
    plain, recorded, recorder = make(name), make(name), Replays()
    for model in (plain, recorded):
        assert isinstance(model, Transformer)
        with torch.no_grad():  # ends are likelier than chance says, so that sentences leave at every length
            model.output_projection.weight[SYMBOLS.eos] *= 3.0
    assert recorded.record_steps(recorder)
    return plain, recorded, recorder


@pytest.mark.parametrize("name", ["transformer", "transformer pre", "transformer learned"])
@pytest.mark.parametrize("search", SEARCHES)
def test_searches_find_the_same(name: str, search: str) -> None:
    plain, recorded, recorder = _models(name)

    for source, lengths in _batches(1, [(1, 3), (7, 9), (20, 20), (3, 18), (20, 20), (2, 5)]):
        expected = _found(plain, SEARCHES[search](), source, lengths)
        for one, other in zip(_found(recorded, SEARCHES[search](), source, lengths), expected, strict=True):
            assert [each.tokens for each in other] == [each.tokens for each in one]
            for ours, theirs in zip(one, other, strict=True):
                assert ours.token_scores == pytest.approx(theirs.token_scores, rel=0, abs=1e-9)
                assert ours.attention is not None
                torch.testing.assert_close(torch.tensor(ours.attention), torch.tensor(theirs.attention))
    assert recorder.recorded < recorder.replayed / 2


def test_a_size_is_recorded_once() -> None:
    _, recorded, recorder = _models("transformer")
    ((source, lengths),) = _batches(2, [(5, 9)])
    first = _found(recorded, SEARCHES["beam"](), source, lengths)
    count = recorder.recorded

    assert first == _found(recorded, SEARCHES["beam"](), source, lengths)
    assert count == recorder.recorded


def test_what_is_larger_than_all_before_is_recorded_anew() -> None:
    """The memory moves, and with it all that was recorded there."""
    plain, recorded, recorder = _models("transformer")
    small, large = _batches(3, [(4, 9), (40, 30)])
    for source, lengths in (small, large, small):
        expected = [[each.tokens for each in found] for found in _found(plain, SEARCHES["beam"](), source, lengths)]
        assert expected == [
            [each.tokens for each in found] for found in _found(recorded, SEARCHES["beam"](), source, lengths)
        ]
    assert recorder.recorded > 3


@torch.no_grad()
def test_a_second_batch_at_the_same_time_is_not_recorded() -> None:
    plain, recorded, _ = _models("transformer")
    first, second = _batches(4, [(3, 5), (4, 8)])
    states = [recorded.start(*batch, 2) for batch in (first, second)]
    assert [True, False] == [isinstance(state, RecordedState) for state in states]
    expected = [plain.start(*batch, 2) for batch in (first, second)]

    for step in range(20):
        for batch, state, other in zip((first, second), states, expected, strict=True):
            tokens = torch.full((2 * len(batch[0]),), 2 + step)
            torch.testing.assert_close(recorded.step(tokens, state), plain.step(tokens, other))
    states.clear()
    del state
    assert isinstance(recorded.start(*second, 2), RecordedState)


def test_what_nobody_wrote_spreads_nowhere() -> None:
    """Memory holds anything, such as what is not a number, where no sentence or position has been."""
    plain, recorded, _ = _models("transformer")
    (first, (source, lengths)) = _batches(6, [(12, 20), (5, 3)])
    _found(recorded, SEARCHES["beam"](), *first)
    assert isinstance(recorded, Transformer)
    assert recorded._recorded is not None
    for tensor in recorded._recorded._memory.values():
        tensor.fill_(torch.nan)

    expected = [[each.tokens for each in found] for found in _found(plain, SEARCHES["beam"](), source, lengths)]
    assert expected == [
        [each.tokens for each in found] for found in _found(recorded, SEARCHES["beam"](), source, lengths)
    ]


def test_inference_mode_may_come_and_go() -> None:
    plain, recorded, _ = _models("transformer")
    (batch,) = _batches(7, [(5, 9)])
    with torch.inference_mode():
        inside = _found(recorded, SEARCHES["beam"](), *batch)

    assert inside == _found(recorded, SEARCHES["beam"](), *batch)
    assert [found[0].tokens for found in inside] == [
        found[0].tokens for found in _found(plain, SEARCHES["beam"](), *batch)
    ]


def test_no_more_recordings_are_kept_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_module, "_MOST", 2)
    plain, recorded, recorder = _models("transformer")
    for batch in _batches(8, [(9, 30), (5, 3), (9, 30)]):
        expected = [found[0].tokens for found in _found(plain, SEARCHES["beam"](), *batch)]
        assert expected == [found[0].tokens for found in _found(recorded, SEARCHES["beam"](), *batch)]
    assert isinstance(recorded, Transformer)
    assert recorded._recorded is not None
    assert 2 == len(recorded._recorded._recordings)
    assert recorder.recorded > 4


@torch.no_grad()
def test_there_is_no_attention_before_the_first_step() -> None:
    _, recorded, _ = _models("transformer")
    (batch,) = _batches(9, [(2, 5)])
    state = recorded.start(*batch, 1)
    assert recorded.keep_attention(state)

    assert state.attention is None
    recorded.step(torch.tensor([2, 2]), state)
    attention: object = state.attention
    assert isinstance(attention, Tensor)
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2))


@torch.no_grad()
def test_single_precision_on_a_processor_is_recorded_too() -> None:
    """Without loops, which no recorder sees."""
    plain, recorded, _ = _models("transformer")
    plain, recorded = plain.float(), recorded.float()
    (batch,) = _batches(10, [(6, 9)])

    expected = [found[0].tokens for found in _found(plain, SEARCHES["beam"](), *batch)]
    assert expected == [found[0].tokens for found in _found(recorded, SEARCHES["beam"](), *batch)]


@torch.no_grad()
def test_what_a_step_returns_outlives_the_next() -> None:
    _, recorded, _ = _models("transformer")
    ((source, lengths),) = _batches(5, [(3, 5)])
    state = recorded.start(source, lengths, 1)
    first = recorded.step(torch.full((3,), 2), state)
    kept = first.clone()

    recorded.step(torch.tensor([4, 5, 6]), state)

    assert torch.equal(kept, first)


def test_models_that_cannot_record_say_so() -> None:
    assert not make("fconv").record_steps(Replays())


def test_sizes_grow_by_a_third_or_a_half() -> None:
    assert [1, 2, 3, 4, 6, 6, 8, 8, 12] == [_rounded(number) for number in range(1, 10)]
    assert [16, 16, 24, 32, 48] == [_rounded(number, 16) for number in (1, 16, 17, 25, 33)]


@pytest.mark.gpu
def test_cuda_graphs_find_the_same() -> None:
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    plain, recorded = (make("transformer").to(device, torch.float32) for _ in range(2))
    assert recorded.record_steps(CudaGraphs(device))

    for source, lengths in _batches(1, [(7, 9), (20, 20), (3, 18), (20, 20)]):
        given = source.to(device), lengths.to(device)
        expected = _found(plain, SEARCHES["beam"](), *given)
        for one, other in zip(_found(recorded, SEARCHES["beam"](), *given), expected, strict=True):
            assert [each.tokens for each in other] == [each.tokens for each in one]
