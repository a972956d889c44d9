from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import Recipe, tiny_trainer

from specforge.foundation.errors import StepFailedError
from specforge.training.determinism import deterministic
from specforge.training.parallel.process import Parallel
from specforge.training.settings import Every
from specforge.training.weights import module_weights

_NEVER = Every(1_000, "update")
_RECIPE = Recipe(max_updates=30, family="transformer", checkpoint_every=_NEVER, validate_every=_NEVER)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUBLAS_WORKSPACE_CONFIG", "TORCHINDUCTOR_DETERMINISTIC"):
        monkeypatch.setenv(name, "unset")  # so that it is put back
        monkeypatch.delenv(name)


def test_kernels_are_chosen_before_anything_is_computed_and_given_up_behind_it() -> None:
    with deterministic(wanted=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.backends.cudnn.benchmark
        assert ":4096:8" == os.environ["CUBLAS_WORKSPACE_CONFIG"]
        # values of new memory are nobody's business, and filling it takes time
        assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # torch's types lack it

    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


def test_unless_it_is_wanted_nothing_changes() -> None:
    with deterministic(wanted=False):
        assert not torch.are_deterministic_algorithms_enabled()
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_an_operation_that_cannot_is_named() -> None:
    refused = "histc_cuda does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'."
    with (
        pytest.raises(StepFailedError, match="`histc_cuda` has no deterministic kernel") as caught,
        deterministic(wanted=True),
    ):
        raise RuntimeError(refused)

    assert "SF676" == caught.value.code


def test_another_error_stays_what_it_is() -> None:
    other = RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError) as caught, deterministic(wanted=True):
        raise other

    assert other is caught.value


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_processor_computes_equal_bits_anyway(precision: str, tmp_path: Path) -> None:
    found = []
    for wanted in (False, True):
        with deterministic(wanted=wanted):
            recipe = replace(_RECIPE, precision=precision, max_updates=6)  # type: ignore[arg-type]
            trainer, module = tiny_trainer(recipe, tmp_path / str(wanted))
            trainer.train()
        found.append(module_weights(module))

    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_computes_equal_bits_through_a_stop(precision: str, tmp_path: Path) -> None:
    found = []
    for number, budgets in enumerate([(30,), (30,), (13, 30)]):
        for updates in budgets:
            with deterministic(wanted=True):
                recipe = replace(_RECIPE, precision=precision, max_updates=updates)  # type: ignore[arg-type]
                trainer, module = tiny_trainer(recipe, tmp_path / str(number), parallel=Parallel(torch.device("cuda")))
                trainer.train()
        found.append(module_weights(module))

    assert all(torch.equal(tensor, other[name]) for other in found[1:] for name, tensor in found[0].items())
