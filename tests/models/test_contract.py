"""What every model promises, on both families: padding, order and the way of decoding change no result."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_samples import EOS, MODELS, TARGET_TYPES, batch, make, padded, random_pairs
from torch import Tensor

from specforge.data.batch import SequencePairBatch
from specforge.models.model import EncoderDecoder


def _logits(model: EncoderDecoder, of: SequencePairBatch) -> list[Tensor]:
    """Return the logits [target length, vocabulary] of each item, padding cut off."""
    with torch.no_grad():
        logits = model.project(model.features(of))
    return [item[:length] for item, length in zip(logits, of.target_lengths.tolist(), strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_no_result(name: str) -> None:
    model = make(name)
    sources, targets = random_pairs(5)
    alone = [_logits(model, batch([source], [target]))[0] for source, target in zip(sources, targets, strict=True)]

    for extra in (0, 3):
        for found, expected in zip(_logits(model, batch(sources, targets, extra)), alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_padding_and_order_change_no_gradient(name: str) -> None:
    model = make(name)
    sources, targets = random_pairs(5)

    def gradients(of: SequencePairBatch) -> list[Tensor]:
        logits = model.project(model.features(of))
        logits.log_softmax(-1)[of.target_out != 1].square().sum().backward()
        found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        model.zero_grad()
        return found

    expected = gradients(batch(sources, targets))
    for found in (gradients(batch(sources, targets, 3)), gradients(batch(sources[::-1], targets[::-1]))):
        assert len(found) == len(expected) == len(list(model.parameters()))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_a_target_sees_nothing_that_comes_later(name: str) -> None:
    model = make(name)
    source = [5, 6, 7, EOS]

    (first,) = _logits(model, batch([source], [[9, 10, 11, EOS]]))
    (second,) = _logits(model, batch([source], [[9, 10, 12, EOS]]))

    assert torch.equal(first[:3], second[:3])  # symbols in so far: EOS, 9, 10
    assert not torch.allclose(first[3], second[3])


@pytest.mark.parametrize("name", MODELS)
def test_every_source_symbol_and_its_place_matter(name: str) -> None:
    model = make(name)
    target = [9, 10, EOS]

    (first,) = _logits(model, batch([[5, 6, 7, EOS]], [target]))
    for other in ([8, 6, 7, EOS], [6, 5, 7, EOS], [5, 6, EOS]):
        (second,) = _logits(model, batch([other], [target]))
        assert not torch.allclose(first[0], second[0])


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_steps_equal_the_whole_while_beams_are_reordered_and_sentences_dropped(name: str, data: st.DataObject) -> None:
    model = make(name)
    beam = data.draw(st.integers(1, 3), "beam")
    sources, _ = random_pairs(3, seed=data.draw(st.integers(1, 50), "seed"))
    state = model.start(padded(sources), torch.tensor([len(source) for source in sources]), beam)
    alive = list(range(len(sources)))
    prefixes = [[EOS] for _ in range(len(alive) * beam)]
    for _ in range(6):
        logits = model.step(torch.tensor([prefix[-1] for prefix in prefixes]), state)
        for row, prefix in enumerate(prefixes):
            (whole,) = _logits(model, batch([sources[alive[row // beam]]], [[*prefix[1:], EOS]]))
            torch.testing.assert_close(logits[row], whole[-1], rtol=1e-9, atol=1e-9)
        kept = data.draw(st.lists(st.sampled_from(range(len(alive))), min_size=1, unique=True).map(sorted), "kept")
        rows = [place * beam + data.draw(st.integers(0, beam - 1), "row") for place in kept for _ in range(beam)]
        state.select(torch.tensor(rows), None if len(kept) == len(alive) else torch.tensor(kept))
        alive = [alive[place] for place in kept]
        symbols = data.draw(
            st.lists(st.integers(3, TARGET_TYPES - 1), min_size=len(rows), max_size=len(rows)), "symbols"
        )
        prefixes = [[*prefixes[row], symbol] for row, symbol in zip(rows, symbols, strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_the_output_layer_is_the_projection(name: str) -> None:
    model = make(name)
    layer = model.output_layer()
    assert layer is not None
    features = torch.randn(3, layer.weight.shape[1], dtype=torch.float64)

    expected = features @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)

    torch.testing.assert_close(model.project(features), expected)


@pytest.mark.parametrize("name", MODELS)
def test_training_goes_on_after_decoding(name: str) -> None:
    model = make(name).train()
    sources, targets = random_pairs(2)
    with torch.inference_mode():
        state = model.start(padded(sources), torch.tensor([len(source) for source in sources]), 1)
        model.step(torch.tensor([EOS, EOS]), state)

    model.project(model.features(batch(sources, targets))).sum().backward()

    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_only_and_follows_the_seed(name: str) -> None:
    model = make(name)
    sources, targets = random_pairs(3)
    of = batch(sources, targets)
    quiet = [model.features(of), model.features(of)]
    model.train()
    torch.manual_seed(3)
    noisy = [model.features(of), model.features(of)]
    torch.manual_seed(3)

    assert torch.equal(quiet[0], quiet[1])
    assert not torch.allclose(quiet[0], noisy[0])
    assert not torch.allclose(noisy[0], noisy[1])
    assert torch.equal(noisy[0], model.features(of))


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_makes_the_weights(name: str) -> None:
    first, same, other = make(name, 1).state_dict(), make(name, 1).state_dict(), make(name, 2).state_dict()

    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_autocast_stays_near(name: str) -> None:
    model = make(name).float()
    sources, targets = random_pairs(4)
    of = batch(sources, targets)
    expected = _logits(model, of)

    with torch.autocast("cpu", torch.bfloat16):
        found = _logits(model, of)
        state = model.start(of.source, of.source_lengths, 1)
        steps = model.step(of.target_in[:, 0], state)

    for item, (one, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.1)
        torch.testing.assert_close(steps[item].float(), other[0], rtol=0.05, atol=0.1)


@pytest.mark.parametrize("name", MODELS)
def test_shapes_are_known_without_memory(name: str) -> None:
    with torch.device("meta"):
        model = MODELS[name]()
        tokens = torch.empty(2, 7, dtype=torch.int64)
        lengths = torch.empty(2, dtype=torch.int64)
        logits = model.project(
            model.features(SequencePairBatch(tokens, lengths, tokens, tokens, lengths, target_tokens=14))
        )

    assert logits.shape == (2, 7, TARGET_TYPES)
