"""The focal loss and the linear schedule, against numbers that a reader can redo by hand."""

from __future__ import annotations

import subprocess
import sys
from math import log
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from specforge_focal.config import FocalConfig
from specforge_focal.linear_decay import LinearDecayConfig
from specforge_focal.linear_decay import build as build_schedule
from specforge_focal.loss import build, focal, target_log_probabilities
from torch import Tensor

from specforge.cli.main import main
from specforge.data.batch import Batch, SequencePairBatch
from specforge.language.registry import config_class, factory, load_registry
from specforge.models.model import DecodingState, EncoderDecoder
from specforge.plugin import Kind, ModelContext, Progress, Symbols

PAD = 1


class Given(EncoderDecoder):
    """A model whose features are the logits that the test says: [batch, target length, vocabulary]."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def features(self, batch: Batch) -> Tensor:
        assert isinstance(batch, SequencePairBatch)
        del batch
        return self.logits

    def project(self, features: Tensor) -> Tensor:
        return features

    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        raise NotImplementedError

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        raise NotImplementedError


def batch_of(target: list[list[int]]) -> SequencePairBatch:
    out = torch.tensor(target)
    lengths = (out != PAD).sum(1)
    return SequencePairBatch(out, lengths, out, out, lengths, target_tokens=int(lengths.sum()))


def criterion(gamma: float, vocabulary: int = 3) -> torch.nn.Module:
    symbols = Symbols(size=vocabulary, pad=PAD)
    return build(FocalConfig(gamma=gamma), ModelContext({"source": symbols, "target": symbols}))


def test_a_target_counts_by_what_the_model_is_unsure_of() -> None:
    # probabilities 1/2, 1/4, 1/4: the first target has p = 1/2, the second p = 1/4; γ = 2
    logits = torch.tensor([[[log(2.0), 0.0, 0.0], [log(2.0), 0.0, 0.0]]])

    loss = criterion(2.0)(Given(logits), batch_of([[0, 2]]))

    assert 0.25 * log(2) + 0.5625 * log(4) == pytest.approx(loss.total.item())
    assert log(2) + log(4) == pytest.approx(loss.nll.item())
    assert 2 == loss.count


def test_padding_adds_nothing() -> None:
    short = torch.tensor([[[1.0, 2.0, 3.0]]])
    padded = torch.cat((short, torch.full((1, 2, 3), 1e4)), dim=1)

    alone = criterion(1.5)(Given(short), batch_of([[2]]))
    beside = criterion(1.5)(Given(padded), batch_of([[2, PAD, PAD]]))

    assert alone.total.item() == beside.total.item()
    assert 1 == beside.count


@given(st.lists(st.floats(-8, 8), min_size=5, max_size=5), st.integers(0, 4))
def test_without_gamma_it_is_cross_entropy(values: list[float], target: int) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([target]))

    loss = focal(target_log_probabilities(logits, torch.tensor([target])), 0.0)

    assert expected.item() == pytest.approx(loss.item(), abs=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_gradient_is_finite_where_the_model_is_certain(gamma: float) -> None:
    model = Given(torch.tensor([[[200.0, 0.0, 0.0]]]))

    loss = criterion(gamma)(model, batch_of([[0]]))
    loss.total.backward()

    assert 0.0 == loss.total.item()
    assert model.logits.grad is not None
    assert bool(model.logits.grad.isfinite().all())


def test_the_gradient_is_the_formulas() -> None:
    log_p = torch.tensor([-0.3, -2.0], dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(lambda value: focal(value, 1.7), (log_p,))


def test_half_precision_logits_are_summed_in_single() -> None:
    assert torch.float32 == target_log_probabilities(torch.zeros(1, 3, dtype=torch.bfloat16), torch.tensor([0])).dtype


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ValidationError):
        FocalConfig(gamma=-1.0)


@pytest.mark.parametrize(
    ("updates", "expected"),
    [(0, 0.0), (50, 0.5), (100, 1.0), (150, 0.75), (300, 0.0), (400, 0.0)],
)
def test_the_rate_rises_to_the_peak_and_falls_to_zero_at_the_end(updates: int, expected: float) -> None:
    rate = build_schedule(LinearDecayConfig(warmup_updates=100), peak_lr=1.0)

    assert expected == pytest.approx(rate(Progress(updates, epoch=1, max_updates=300)))


@pytest.mark.parametrize(("updates", "expected"), [(0, 2.0), (5, 1.0), (10, 0.0)])
def test_without_warm_up_the_rate_starts_at_the_peak(updates: int, expected: float) -> None:
    rate = build_schedule(LinearDecayConfig(), peak_lr=2.0)

    assert expected == pytest.approx(rate(Progress(updates, epoch=1, max_updates=10)))


def test_a_warm_up_longer_than_training_never_reaches_the_peak() -> None:
    rate = build_schedule(LinearDecayConfig(warmup_updates=100), peak_lr=1.0)

    assert [0.0, 0.49, 0.5] == pytest.approx([rate(Progress(done, 1, 51)) for done in (0, 49, 50)])


def test_an_end_in_epochs_is_no_end_to_aim_at() -> None:
    rate = build_schedule(LinearDecayConfig(), peak_lr=1.0)

    with pytest.raises(ValueError, match=r"needs train\.max_updates"):
        rate(Progress(0, epoch=1))


def test_the_schedule_depends_on_the_end() -> None:
    assert not LinearDecayConfig().horizon_free


@pytest.mark.parametrize(("kind", "name", "version"), [("criterion", "focal", 2), ("lr_scheduler", "linear_decay", 1)])
def test_it_is_installed_and_registered(kind: Kind, name: str, version: int) -> None:
    registered = load_registry().find(kind, name).registered

    assert f"specforge-focal/{name}@{version}" == registered.identity
    assert issubclass(config_class(registered), FocalConfig | LinearDecayConfig)
    assert callable(factory(registered))


def test_a_spec_of_version_1_is_edited_to_version_2(tmp_path: Path) -> None:
    old = 'task = { use = "translation", source = "en", target = "fr" }\n[criterion]\nuse = "focal"\n'
    spec = tmp_path / "old.toml"
    spec.write_text(f'{old}focusing = 1.0  # found by hand\nreduction = "sum"\n')

    assert 0 == main(["migrate", str(spec)])
    assert f"{old}gamma = 1.0  # found by hand\n" == spec.read_text()


def test_another_reduction_than_the_sum_is_not_dropped_silently(tmp_path: Path) -> None:
    spec = tmp_path / "old.toml"
    spec.write_text('task = "translation"\n[criterion]\nuse = "focal"\nreduction = "mean"\n')

    assert 2 == main(["migrate", str(spec)])
    assert "mean" in spec.read_text()


def test_declaring_and_checking_need_no_torch() -> None:
    program = "import sys, specforge_focal, specforge_focal.config, specforge_focal.linear_decay; print('torch' in sys.modules)"

    assert (
        "False\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    )
