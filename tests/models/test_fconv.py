"""The convolutional model: sizes that fairseq builds, and arithmetic redone without the folding and the windows."""

from __future__ import annotations

import json
from math import sqrt
from typing import Any

import pytest
import torch
from model_samples import SOURCE_TYPES, TARGET_TYPES, batch, context, fconv_config, padded, random_pairs
from torch import Tensor
from torch.nn import functional

from specforge.models.fconv.architectures import PRESETS
from specforge.models.fconv.config import FConvConfig
from specforge.models.fconv.layers import FoldedAttention, Source, windows
from specforge.models.fconv.model import FConv, build
from specforge.plugin import ModelContext, Symbols


def _preset(name: str) -> FConvConfig:
    (preset,) = (preset for preset in PRESETS if preset.name == name)
    return FConvConfig.model_validate_json(json.dumps(dict(preset.values)))


def _parameters(config: FConvConfig, source: int, target: int) -> int:
    with torch.device("meta"):
        model = build(config, ModelContext({"source": Symbols(source), "target": Symbols(target)}))
    return sum(parameter.numel() for parameter in model.parameters())


def _normed(inputs: int, outputs: int) -> int:
    return outputs * inputs + outputs + outputs  # directions, one norm and one bias for each output


def test_the_number_of_parameters_of_fconv_wmt_en_de_by_hand() -> None:
    source, target, dim = 8_000, 10_000, 768
    tables = (source + 1_024 + target + 1_024) * dim  # symbols and positions of both sides
    stack = (
        9 * _normed(3 * 512, 2 * 512)  # nine layers of width 512; the gate doubles the outputs
        + _normed(3 * 512, 2 * 1_024)
        + _normed(512, 1_024)  # the residual connection's projection where the width changes
        + 3 * _normed(3 * 1_024, 2 * 1_024)
        + _normed(1_024, 2 * 2_048)
        + _normed(1_024, 2_048)
        + _normed(2_048, 2 * 2_048)
    )
    attention = sum(_normed(width, dim) + _normed(dim, width) for width in [512] * 9 + [1_024] * 4 + [2_048] * 2)
    encoder = _normed(dim, 512) + stack + _normed(2_048, dim)
    decoder = _normed(dim, 512) + stack + attention + _normed(2_048, 512) + _normed(512, target)

    assert tables + encoder + decoder == 146_533_920
    assert _parameters(_preset("fconv_wmt_en_de"), source, target) == 146_533_920


# Counted in fairseq 0.12.2: sum(p.numel() for p in model.parameters()) of the architecture built for a source dictionary
# of 8,000 and a target dictionary of 10,000 types.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fconv_iwslt_de_en", 11_132_448),
        ("fconv_wmt_en_ro", 89_980_448),
        ("fconv_wmt_en_de", 146_533_920),
        ("fconv_wmt_en_fr", 195_075_616),
    ],
)
def test_the_number_of_parameters_is_fairseqs(name: str, expected: int) -> None:
    assert _parameters(_preset(name), 8_000, 10_000) == expected


def test_the_number_of_parameters_of_fconv_is_fairseqs() -> None:
    assert _parameters(FConvConfig(), 8_000, 10_000) == 87_288_864  # counted in the same way


def test_windows_hold_the_neighbours() -> None:
    values = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])

    centred = windows(values, 3, before=1)
    causal = windows(values, 2, before=1)

    assert centred[0].tolist() == [[0, 0, 1, 10, 2, 20], [1, 10, 2, 20, 3, 30], [2, 20, 3, 30, 0, 0]]
    assert causal[0].tolist() == [[0, 0, 1, 10], [1, 10, 2, 20], [2, 20, 3, 30]]
    assert windows(values, 1, before=0) is values


def _model() -> FConv:
    torch.manual_seed(1)
    return build(fconv_config(encoder_layers=((8, 3),), decoder_layers=((8, 3),)), context()).double().eval()


def test_one_layer_of_each_side_by_torchs_own_convolution() -> None:
    model = _model()
    encoder, decoder = model.encoder, model.decoder
    source, target = torch.tensor([[5, 6, 7, 2]]), torch.tensor([[2, 9, 10]])
    root = sqrt(0.5)

    def embed(side: torch.nn.Module, tokens: Tensor) -> Tensor:
        table, positions = side.get_parameter("embedder.table.weight"), side.get_parameter("embedder.positions.weight")
        return table[tokens] + positions[2 : 2 + tokens.shape[1]]

    def convolve(layer: torch.nn.Module, values: Tensor, left: int, right: int) -> Tensor:
        linear = layer.get_submodule("convolution")
        assert isinstance(linear, torch.nn.Linear)
        kernels = linear.weight.unflatten(1, (3, 8)).transpose(1, 2)  # [2 x channels, inputs, kernel]
        found = functional.conv1d(functional.pad(values.transpose(1, 2), (left, right)), kernels, linear.bias)
        first, gate = found.transpose(1, 2).chunk(2, dim=-1)
        return first * gate.sigmoid()

    embedded = embed(encoder, source)
    entered = encoder.enter(embedded)
    keys = encoder.leave((convolve(encoder.layers[0], entered, 1, 1) + entered) * root)
    values = (keys + embedded) * root
    embedded = embed(decoder, target)
    entered = decoder.enter(embedded)
    convolved = convolve(decoder.layers[0], entered, 2, 0)
    attention: Any = decoder.layers[0]
    weights = (((attention.query(convolved) + embedded) * root) @ keys.transpose(1, 2)).softmax(dim=-1)
    attended = (attention.output(weights @ values * sqrt(4)) + convolved) * root  # √ of the four source symbols
    expected = decoder.output(decoder.leave((attended + entered) * root))

    found = model.project(model.features(batch(source.tolist(), [[9, 10, 2]])))

    torch.testing.assert_close(found, expected)


def test_the_encoder_gets_its_gradient_once_for_each_attention_and_use() -> None:
    # Keys and values feed two attentions here, so 1 / (2 · 2); the embeddings' own way into the values is not scaled.
    model = build(fconv_config(decoder_attention=(True, False, True, False)), context()).double().eval()
    sources, _ = random_pairs(2)
    lengths = torch.tensor([len(source) for source in sources])

    encoded: Source = model.encoder(padded(sources), lengths)
    (gradient,) = torch.autograd.grad(encoded.keys.sum(), model.encoder.leave.bias)

    assert gradient.tolist() == pytest.approx([0.25 * int(lengths.sum())] * 10)


def test_a_residual_connection_reaches_back_or_is_left_out() -> None:
    layers = build(fconv_config(), context()).encoder.layers  # [[8, 3], [12, 2], [12, 4, 2], [16, 1, 0]]

    projected = [
        dict(layer.named_modules())["projection"] if hasattr(layer.projection, "weight") else None for layer in layers
    ]
    shapes = [None if each is None else (each.in_features, each.out_features) for each in projected]

    # the second widens 8 to 12; the third starts at the second's input, 8 wide; the fourth has none
    assert shapes == [None, (8, 12), (8, 12), None]


def test_input_and_output_share_a_table_where_asked() -> None:
    shared = build(fconv_config(out_embed_dim=10, share_input_output_embed=True), context())
    apart = build(fconv_config(), context())

    assert shared.decoder.output.weight is shared.decoder.embedder.table.weight
    assert shared.decoder.output.bias.shape == (TARGET_TYPES,)
    assert apart.decoder.output.weight.shape == (TARGET_TYPES, 14)
    assert apart.encoder.embedder.table.weight.shape == (SOURCE_TYPES, 10)


def test_the_longest_input_fits_and_is_the_limit() -> None:
    model = build(fconv_config(max_positions=5), context()).eval()
    assert model.max_positions() == {"source": 5, "target": 5}
    assert FConvConfig().max_positions == 1_024 - 2

    features = model.features(batch([[5, 6, 7, 8, 2]], [[5, 6, 7, 8, 2]]))

    assert features.shape == (1, 5, 14)


def test_a_step_looks_where_the_whole_decoder_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(fconv_config(decoder_attention=(True, False, True, False)), context()).double().eval()
    sources, targets = [[5, 6, 7, 8, 2], [9, 2]], [[4, 5, 2], [6, 7, 2]]
    both = batch(sources, targets)
    seen: list[Tensor] = []
    weigh = FoldedAttention.weights

    def watched(self: FoldedAttention, values: Tensor, embedded: Tensor, source: Source) -> Tensor:
        seen.append(weigh(self, values, embedded, source))
        return seen[-1]

    monkeypatch.setattr(FoldedAttention, "weights", watched)
    model.features(both)
    first, second = seen  # the two layers that attend: [sentences, target length, source length]
    monkeypatch.undo()

    state = model.start(both.source, both.source_lengths, beam=2)
    assert state.looked is None
    assert model.keep_attention(state)
    for position, symbols in enumerate(both.target_in.unbind(1)):
        model.step(symbols.repeat_interleave(2), state)
        assert state.attention is not None
        expected = (first + second)[:, position].repeat_interleave(2, dim=0) / 2
        torch.testing.assert_close(state.attention, expected.float())
        assert state.attention.sum(dim=1).tolist() == pytest.approx([1.0] * 4)
        assert not state.attention[2:, 2:].any()  # the second source has two symbols
    state.select(torch.tensor([3]), torch.tensor([1]))
    torch.testing.assert_close(state.attention, expected[3:].float())
