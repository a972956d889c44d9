"""Models in the precision that is asked for, or an error that says why not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from specforge.foundation.errors import WrongInputError
from specforge.models.transformer.config import TransformerConfig
from specforge.models.transformer.model import Transformer
from specforge.modules.attention_loops import compiled_loops
from specforge.modules.packed_linear import Int8Linear, PackedLinear
from specforge.modules.recorder import CudaGraphs
from specforge.plugin import ModelContext, Symbols
from specforge.steps import decoding_precision
from specforge.steps.decoding_precision import prepare_for_decoding

_CPU = torch.device("cpu")


def test_every_model_gets_it() -> None:
    models = [nn.Sequential(nn.Linear(4, 4)) for _ in range(2)]
    prepare_for_decoding(models, "int8", _CPU)

    assert [Int8Linear, Int8Linear] == [type(model[0]) for model in models]


def test_fp32_is_for_every_model() -> None:
    without, with_one = nn.Sequential(nn.Conv1d(2, 2, 1)), nn.Sequential(nn.Linear(4, 4))
    prepare_for_decoding([without, with_one], "fp32", _CPU)

    assert isinstance(without[0], nn.Conv1d)
    assert isinstance(with_one[0], PackedLinear | nn.Linear)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_model_without_linear_layers_is_refused(precision: str) -> None:
    with pytest.raises(WrongInputError, match="`Sequential` has none") as caught:
        prepare_for_decoding([nn.Sequential(nn.Conv1d(2, 2, 1))], precision, _CPU)  # type: ignore[arg-type]
    assert "SF745" == caught.value.code


def test_a_gpu_has_no_int8() -> None:
    with pytest.raises(WrongInputError, match="this is a GPU"):
        prepare_for_decoding([nn.Linear(4, 4)], "int8", torch.device("cuda"))


@pytest.mark.parametrize(("device", "recorded"), [("cuda", True), ("cuda", False), ("cpu", True)])
def test_steps_are_recorded_on_a_gpu_where_that_is_asked_for(
    device: str, monkeypatch: pytest.MonkeyPatch, *, recorded: bool
) -> None:
    monkeypatch.setattr(decoding_precision, "CudaGraphs", lambda _: object.__new__(CudaGraphs))
    config = TransformerConfig(embed_dim=8, ffn_dim=8, attention_heads=2)
    model = Transformer(config, ModelContext({"source": Symbols(8), "target": Symbols(8)}))

    prepare_for_decoding([model, nn.Linear(4, 4)], "fp32", torch.device(device), recorded=recorded)

    assert (device == "cuda" and recorded) == (model._recorded is not None)


def test_loops_are_there_before_processes_are_forked() -> None:
    compiled_loops.cache_clear()

    prepare_for_decoding([nn.Linear(4, 4)], "fp32", _CPU)

    assert 1 == compiled_loops.cache_info().currsize
