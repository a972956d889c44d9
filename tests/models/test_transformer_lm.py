"""The decoder-only transformer: its size, and that a symbol is predicted from those before it alone."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from specforge.data.batch import SequenceBatch
from specforge.models.transformer_lm.architectures import PRESETS
from specforge.models.transformer_lm.config import TransformerLMConfig
from specforge.models.transformer_lm.model import TransformerLM, build
from specforge.plugin import ModelContext, Symbols

PAD, EOS = 1, 2
TYPES = 24


def config(**values: object) -> TransformerLMConfig:
    small = {"decoder_layers": 2, "embed_dim": 16, "ffn_dim": 24, "attention_heads": 2, "dropout": 0.0}
    return TransformerLMConfig.model_validate({**small, **values})


def context(types: int = TYPES) -> ModelContext:
    return ModelContext({"text": Symbols(types)})


def of_rows(*rows: list[int]) -> SequenceBatch:
    width = max(map(len, rows))
    text_in = torch.tensor([[EOS, *row[:-1], *[PAD] * (width - len(row))] for row in rows])
    text_out = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
    return SequenceBatch(text_in, text_out, torch.tensor([len(row) for row in rows]), target_tokens=sum(map(len, rows)))


def parameters(of: TransformerLMConfig, where: ModelContext) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(of, where).parameters())


def test_the_number_of_parameters_by_hand() -> None:
    attention = 4 * (16 * 16 + 16)  # query, key, value and output, each with a bias
    feed_forward = (16 * 24 + 24) + (24 * 16 + 16)
    norm = 2 * 16
    layers = 2 * (attention + feed_forward + 2 * norm)

    assert parameters(config(), context()) == layers + norm + 2 * TYPES * 16
    assert parameters(config(share_embeddings=True), context()) == layers + norm + TYPES * 16
    assert parameters(config(norm="post"), context()) == layers + 2 * TYPES * 16
    learned = config(positions="learned", max_positions=7)
    assert parameters(learned, context()) == layers + norm + 2 * TYPES * 16 + (2 + 7) * 16


# By fairseq's formula for its decoders without cross-attention: L (4 d² + 2 d f + 9 d + f) + 2 d, and tables of V x d.
@pytest.mark.parametrize(
    ("name", "layers", "dim", "ffn", "tables"),
    [
        ("transformer_lm_gpt", 12, 768, 3_072, 2 * 50_264),
        ("transformer_lm_big", 12, 1_024, 4_096, 2 * 50_264),
        ("transformer_lm_gpt2_tiny", 2, 64, 64, 2 * 50_264),
        ("transformer_lm_gpt3_small", 12, 768, 3_072, 50_264 + 2_048 + 2),
        ("transformer_lm_gpt3_xl", 24, 2_048, 8_192, 50_264 + 2_048 + 2),
    ],
)
def test_the_number_of_parameters_is_fairseqs(name: str, layers: int, dim: int, ffn: int, tables: int) -> None:
    (preset,) = (preset for preset in PRESETS if preset.name == name)
    chosen = TransformerLMConfig.model_validate_json(json.dumps(dict(preset.values)))
    expected = layers * (4 * dim * dim + 2 * dim * ffn + 9 * dim + ffn) + 2 * dim + tables * dim

    assert expected == parameters(chosen, context(50_264))


def test_every_preset_is_a_right_config() -> None:
    for preset in PRESETS:
        TransformerLMConfig.model_validate_json(json.dumps(dict(preset.values)))


def model(**values: object) -> TransformerLM:
    torch.manual_seed(1)
    return build(config(**values), context()).double().eval()


@pytest.mark.parametrize("values", [{}, {"norm": "post"}, {"positions": "learned", "max_positions": 9}])
def test_a_symbol_sees_those_before_it_and_no_others(values: dict[str, object]) -> None:
    lm = model(**values)
    whole = lm.project(lm.features(of_rows([5, 6, 7, 8, EOS])))
    changed = lm.project(lm.features(of_rows([5, 6, 9, 4, EOS])))

    torch.testing.assert_close(whole[:, :3], changed[:, :3], rtol=0, atol=1e-12)  # from EOS, 5 and 6
    assert not torch.allclose(whole[:, 3:], changed[:, 3:])


def test_padding_and_neighbours_change_nothing() -> None:
    lm = model()
    together = lm.features(of_rows([5, 6, EOS], [7, 8, 9, 10, EOS]))

    torch.testing.assert_close(together[0, :3], lm.features(of_rows([5, 6, EOS]))[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(together[1], lm.features(of_rows([7, 8, 9, 10, EOS]))[0], rtol=0, atol=1e-12)


def test_the_output_layer_is_what_project_computes() -> None:
    lm = model(share_embeddings=True)
    features = lm.features(of_rows([5, 6, EOS]))

    torch.testing.assert_close(lm.project(features), features @ lm.output_layer().weight.T)
    assert lm.output_layer().weight is lm.embedder.table.weight


def test_positions_have_an_end_where_the_config_says_one() -> None:
    assert {} == model().max_positions()
    assert {"text": 9} == model(positions="learned", max_positions=9).max_positions()


@pytest.mark.parametrize(
    "values", [{"attention_heads": 3}, {"positions": "learned"}, {"embed_dim": 15, "attention_heads": 1}]
)
def test_what_cannot_be_built_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config(**values)


FORMS: dict[str, dict[str, object]] = {
    "pre": {},
    "post": {"norm": "post", "activation": "gelu"},
    "learned": {"positions": "learned", "max_positions": 24, "share_embeddings": True},
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_steps_equal_the_whole_while_texts_are_reordered_and_dropped(form: str, data: st.DataObject) -> None:
    of = model(**FORMS[form])
    beam = data.draw(st.integers(1, 3), "beam")
    symbols = st.integers(3, TYPES - 1)
    given_texts = data.draw(st.lists(st.lists(symbols, max_size=5), min_size=1, max_size=3), "texts")
    begun = [[EOS, *text][: len(text)] for text in given_texts]  # the last symbol is appended, as those that follow
    width = max(map(len, begun))
    padded = torch.tensor([[*text, *[PAD] * (width - len(text))] for text in begun], dtype=torch.int64)
    lengths = torch.tensor([len(text) for text in begun])
    state = of.start(padded.reshape(len(begun), width), lengths, beam)
    texts = [[EOS, *text] for text in given_texts for _ in range(beam)]
    for _ in range(5):
        logits = of.step(torch.tensor([text[-1] for text in texts]), state)
        for row, text in enumerate(texts):
            with torch.no_grad():
                whole = of.project(of.features(of_rows([*text[1:], EOS])))[0, -1]
            torch.testing.assert_close(logits[row], whole, rtol=1e-9, atol=1e-9)
        sentences = len(texts) // beam
        kept = data.draw(st.lists(st.sampled_from(range(sentences)), min_size=1, unique=True).map(sorted), "kept")
        rows = [place * beam + data.draw(st.integers(0, beam - 1), "row") for place in kept for _ in range(beam)]
        state.select(torch.tensor(rows), None if len(kept) == sentences else torch.tensor(kept))
        texts = [[*texts[row], data.draw(symbols, "symbol")] for row in rows]


def test_a_cache_grows_under_a_long_text() -> None:
    of = model()
    text = [EOS, *(3 + number % 20 for number in range(70))]
    state = of.start(torch.tensor([text[:-1]]), torch.tensor([70]), 2)

    logits = of.step(torch.tensor([text[-1]] * 2), state)

    with torch.no_grad():
        whole = of.project(of.features(of_rows([*text[1:], EOS])))[0, -1]
    torch.testing.assert_close(logits, torch.stack([whole, whole]), rtol=1e-9, atol=1e-9)
