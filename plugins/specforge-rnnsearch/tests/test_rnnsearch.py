"""The model against the paper's formulas, and against itself: padding, decoding step by step, learning."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from specforge_rnnsearch.config import RNNSearchConfig
from specforge_rnnsearch.model import AdditiveAttention, Memory, RNNSearch, build
from torch import Tensor, nn

from specforge.data.batch import SequencePairBatch
from specforge.language.registry import config_class, factory, load_registry
from specforge.plugin import ModelContext, Symbols

PAD, EOS = 1, 2
SOURCES = [[5, 6, 7, EOS], [8, EOS], [9, 4, EOS]]
TARGETS = [[4, EOS], [6, 7, 8, 9, EOS], [5, 5, EOS]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def padded(rows: list[list[int]], length: int | None = None) -> Tensor:
    longest = length or max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def batch_of(sources: list[list[int]], targets: list[list[int]], source_length: int | None = None) -> SequencePairBatch:
    return SequencePairBatch(
        source=padded(sources, source_length),
        source_lengths=torch.tensor([len(row) for row in sources]),
        target_in=padded([[EOS, *row[:-1]] for row in targets]),
        target_out=padded(targets),
        target_lengths=torch.tensor([len(row) for row in targets]),
        target_tokens=sum(map(len, targets)),
    )


def model_of(**changes: object) -> RNNSearch:
    values = {"embed_dim": 8, "hidden_dim": 12, "attention_dim": 10, "readout_dim": 6, **changes}
    context = ModelContext({"source": Symbols(10), "target": Symbols(11)})
    return build(RNNSearchConfig.model_validate(values), context).double().eval()


SHAPES = [
    {},
    {"encoder_layers": 2, "decoder_layers": 3},
    {"bidirectional": False},
]


@pytest.fixture(params=SHAPES, ids=lambda shape: "-".join(shape) or "paper")
def model(request: pytest.FixtureRequest) -> RNNSearch:
    return model_of(**request.param)


def test_attention_is_the_mean_by_v_tanh_of_the_sum() -> None:
    # W = U = v = 1 and s = 0: the scores are tanh(0) = 0, tanh(1), tanh(1); the third position is padding
    attention = AdditiveAttention(1, 1, 1)
    for parameter in attention.parameters():
        nn.init.ones_(parameter)
    nn.init.zeros_(attention.query.bias)
    annotations = torch.tensor([[[0.0], [1.0], [1.0]]])
    memory = Memory(annotations, attention.key(annotations), torch.tensor([[False, False, True]]))

    context, weights = attention(torch.zeros(1, 1), memory)

    weight = torch.tensor(1.0).tanh().exp()  # of the second; that of the first is exp(0) = 1
    assert [[1 / (1 + weight.item()), weight.item() / (1 + weight.item()), 0.0]] == [
        pytest.approx(row) for row in weights.tolist()
    ]
    assert (weight / (1 + weight)).item() == pytest.approx(context.item())


def test_the_source_is_asked_by_the_top_layers_former_state() -> None:
    model = model_of(decoder_layers=2)
    batch = batch_of([[5, 6, 7, EOS]], [[4, EOS]])
    state = model.start(batch.source, batch.source_lengths, beam=1)
    bottom, top = state.hidden
    symbol = torch.zeros(1, 8).double()

    def context(*hidden: Tensor) -> Tensor:
        return model.decoder.advance(symbol, list(hidden), state.memory)[1]

    assert torch.equal(context(bottom, top), context(bottom + 1, top))
    assert not torch.equal(context(bottom, top), context(bottom, top + 1))


def test_the_readout_is_the_larger_of_two() -> None:
    model = model_of(readout_dim=2)
    nn.init.zeros_(model.decoder.readout.weight)
    with torch.no_grad():
        model.decoder.readout.bias.copy_(torch.tensor([1.0, 3.0, 7.0, -2.0]))
    nothing = [torch.zeros(1, size).double() for size in (12, 8, 24)]

    assert [3.0, 7.0] == model.decoder.read_out(*nothing).flatten().tolist()


def test_parameters_are_those_of_the_paper() -> None:
    # embeddings 8 per type; encoder: two GRUs of 3 gates over 8 inputs and 12 states, two biases each; the decoder's GRU
    # reads 8 + 24; attention 12 → 10 with bias, 24 → 10, 10 → 1; first state 12 → 12; readout 12 + 8 + 24 → 2 · 6
    encoder = 10 * 8 + 2 * 3 * 12 * (8 + 12 + 2)
    decoder = 11 * 8 + 3 * 12 * (8 + 24 + 12 + 2) + (12 + 1) * 10 + 24 * 10 + 10 + (12 + 1) * 12 + (44 + 1) * 12
    output = (6 + 1) * 11

    assert encoder + decoder + output == sum(parameter.numel() for parameter in model_of().parameters())


def test_recurrent_weights_start_orthogonal() -> None:
    gates = model_of().decoder.cells[0].weight_hh
    assert isinstance(gates, Tensor)

    for gate in gates.chunk(3):
        torch.testing.assert_close((gate @ gate.T).float(), torch.eye(12))


def test_padding_and_neighbours_change_nothing(model: RNNSearch) -> None:
    together = model.features(batch_of(SOURCES, TARGETS, source_length=7))

    for row, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        alone = model.features(batch_of([source], [target]))
        torch.testing.assert_close(together[row, : len(target)], alone[0])


def test_every_source_symbol_matters(model: RNNSearch) -> None:
    features = model.features(batch_of([[5, 6, 7, EOS]], [[4, EOS]]))

    for position in range(3):
        changed = [5, 6, 7, EOS]
        changed[position] = 9
        assert not torch.allclose(features, model.features(batch_of([changed], [[4, EOS]])))


def test_the_future_is_not_seen(model: RNNSearch) -> None:
    one, other = (model.features(batch_of([[5, EOS]], [[4, last, EOS]])) for last in (6, 7))

    torch.testing.assert_close(one[0, :2], other[0, :2])
    assert not torch.allclose(one[0, 2], other[0, 2])


def test_decoding_step_by_step_equals_the_whole(model: RNNSearch) -> None:
    batch = batch_of(SOURCES, TARGETS)
    whole = model.project(model.features(batch))  # [batch, target length, vocabulary]

    state = model.start(batch.source, batch.source_lengths, beam=2)
    for position, symbols in enumerate(batch.target_in.unbind(1)):
        logits = model.step(symbols.repeat_interleave(2), state)
        torch.testing.assert_close(logits.view(3, 2, -1), whole[:, position : position + 1].expand(-1, 2, -1))


def test_a_state_follows_its_prefixes_and_sentences(model: RNNSearch) -> None:
    batch = batch_of(SOURCES, TARGETS)
    state = model.start(batch.source, batch.source_lengths, beam=2)
    model.step(torch.tensor([EOS] * 6), state)
    model.step(torch.tensor([4, 5, 6, 7, 8, 9]), state)

    # the second sentence ends; the third's rows change places, the first's best goes on twice
    state.select(torch.tensor([5, 4, 0, 0]), torch.tensor([2, 0]))
    logits = model.step(torch.tensor([3, 3, 6, 7]), state)

    prefixes = [[9, 3], [8, 3], [4, 6], [4, 7]]
    for row, (prefix, sentence) in enumerate(zip(prefixes, [2, 2, 0, 0], strict=True)):
        alone = batch_of([SOURCES[sentence]], [[*prefix, EOS]])
        torch.testing.assert_close(logits[row], model.project(model.features(alone))[0, 2])


def test_a_state_tells_where_the_last_step_looked_where_asked(model: RNNSearch) -> None:
    batch = batch_of(SOURCES, TARGETS)
    state = model.start(batch.source, batch.source_lengths, beam=2)
    model.step(torch.tensor([EOS] * 6), state)
    assert state.looked is None

    before = state.hidden[-1]
    assert model.keep_attention(state)
    model.step(torch.tensor([4, 5, 6, 7, 8, 9]), state)

    _, expected = model.decoder.attention(before, state.memory)
    assert state.attention is not None
    torch.testing.assert_close(state.attention, expected.float())
    assert [1.0] * 6 == pytest.approx(state.attention.sum(dim=1).tolist())
    assert not state.attention[2:4, 2:].any()  # the second source has two symbols
    state.select(torch.tensor([5, 0]), torch.tensor([2, 0]))
    torch.testing.assert_close(state.attention, expected[[5, 0]].float())


def test_the_output_layer_is_the_projection(model: RNNSearch) -> None:
    features = torch.randn(4, 6).double()
    layer = model.output_layer()
    assert layer.bias is not None

    torch.testing.assert_close(features @ layer.weight.T + layer.bias, model.project(features))


def test_every_parameter_learns_and_the_loss_falls(model: RNNSearch) -> None:
    batch = batch_of(SOURCES, TARGETS)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        logits = model.project(model.features(batch))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in model.parameters())
    assert losses[-1] < 0.2 * losses[0]


def test_dropout_acts_in_training_only() -> None:
    batch = batch_of(SOURCES, TARGETS)
    model = model_of(dropout=0.5)

    assert torch.equal(model.features(batch), model.features(batch))
    model.train()
    assert not torch.equal(model.features(batch), model.features(batch))


def test_it_is_installed_and_registered() -> None:
    match = load_registry().find("model", "rnnsearch")

    assert "specforge-rnnsearch/rnnsearch@1" == match.registered.identity
    assert RNNSearchConfig is config_class(match.registered)
    assert build is factory(match.registered)


@pytest.mark.parametrize(("name", "hidden_dim"), [("rnnsearch_small", 256), ("rnnsearch_base", 1000)])
def test_architectures_are_values_of_the_config(name: str, hidden_dim: int) -> None:
    match = load_registry().find("model", name)
    assert match.preset is not None

    config = RNNSearchConfig.model_validate_json(json.dumps(dict(match.preset.values)))

    assert hidden_dim == config.hidden_dim


def test_the_base_architecture_has_the_size_of_the_paper() -> None:
    match = load_registry().find("model", "rnnsearch_base")
    assert match.preset is not None
    config = RNNSearchConfig.model_validate(dict(match.preset.values))
    symbols = Symbols(30_000)

    with torch.device("meta"):
        model = build(config, ModelContext({"source": symbols, "target": symbols}))

    encoder = 2 * 3 * 1000 * (620 + 1000 + 2)
    decoder = 3 * 1000 * (620 + 2000 + 1000 + 2) + 1001 * 1000 + 2000 * 1000 + 1000 + 1001 * 1000 + 3621 * 1000
    vocabularies = 2 * 620 * 30_000 + 501 * 30_000
    assert encoder + decoder + vocabularies == sum(parameter.numel() for parameter in model.parameters())


def test_declaring_and_checking_need_no_torch() -> None:
    program = "import sys, specforge_rnnsearch, specforge_rnnsearch.config; print('torch' in sys.modules)"

    assert (
        "False\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    )
