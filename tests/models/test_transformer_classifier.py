"""The encoder-only transformer: its size, both poolings, and that neighbours change nothing."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from specforge.data.batch import ClassificationBatch
from specforge.models.transformer_classifier.config import TransformerClassifierConfig
from specforge.models.transformer_classifier.model import TransformerClassifier, build
from specforge.plugin import ModelContext, Symbols

PAD, EOS = 1, 2
TYPES, LABELS = 24, 5
CONTEXT = ModelContext({"text": Symbols(TYPES)}, labels={"label": LABELS})


def model(**values: object) -> TransformerClassifier:
    torch.manual_seed(1)
    small = {"encoder_layers": 2, "embed_dim": 16, "ffn_dim": 24, "attention_heads": 2, "dropout": 0.0}
    return build(TransformerClassifierConfig.model_validate({**small, **values}), CONTEXT).double().eval()


def of_rows(*rows: list[int]) -> ClassificationBatch:
    width = max(map(len, rows))
    text = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ClassificationBatch(text, lengths, torch.zeros(len(rows), dtype=torch.int64), target_tokens=len(rows))


def test_the_number_of_parameters_by_hand() -> None:
    attention = 4 * (16 * 16 + 16)  # query, key, value and output, each with a bias
    feed_forward = (16 * 24 + 24) + (24 * 16 + 16)
    norm = 2 * 16
    head = (16 * 16 + 16) + (16 * LABELS + LABELS)

    counted = sum(parameter.numel() for parameter in model().parameters())

    assert counted == TYPES * 16 + 2 * (attention + feed_forward + 2 * norm) + norm + head


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_padding_and_neighbours_change_nothing(pooling: str, norm: str) -> None:
    classifier = model(pooling=pooling, norm=norm)
    together = classifier.features(of_rows([5, 6, EOS], [7, 8, 9, 10, EOS]))

    assert (2, 16) == tuple(together.shape)
    torch.testing.assert_close(together[0], classifier.features(of_rows([5, 6, EOS]))[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(together[1], classifier.features(of_rows([7, 8, 9, 10, EOS]))[0], rtol=0, atol=1e-12)
    assert (2, LABELS) == tuple(classifier.project(together).shape)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_symbol_counts_wherever_it_stands(pooling: str) -> None:
    classifier = model(pooling=pooling)
    whole = classifier.features(of_rows([5, 6, 7, EOS]))

    for changed in ([9, 6, 7, EOS], [5, 9, 7, EOS], [5, 6, 9, EOS], [6, 5, 7, EOS]):
        assert not torch.allclose(whole, classifier.features(of_rows(changed)), atol=1e-6)


def test_the_mean_is_taken_over_symbols_alone() -> None:
    classifier = model()
    row = torch.tensor([[5, 6, EOS]])

    pooled = classifier._pooled(row, torch.tensor([3]))
    encoded = classifier._encoded(row, torch.tensor([3]))

    torch.testing.assert_close(pooled, encoded.mean(dim=1))


def test_a_symbol_put_before_the_text_takes_no_position_from_it() -> None:
    classifier = model(pooling="cls", positions="learned", max_positions=4)

    classifier.features(of_rows([5, 6, 7, EOS]))

    assert {"text": 4} == classifier.max_positions()


def test_the_output_layer_is_what_project_computes() -> None:
    classifier = model()
    features, layer = classifier.features(of_rows([5, 6, EOS])), classifier.output_layer()

    assert layer.bias is not None
    torch.testing.assert_close(classifier.project(features), features @ layer.weight.T + layer.bias)


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValidationError):
        model(attention_heads=3)
