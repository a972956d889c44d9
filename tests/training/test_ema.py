"""Averages of the weights: by hand, beside updates that are left out, published in place of the weights, and never lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from process_of_averages import AVERAGED, STRATEGIES, published
from test_parallel import found_by
from tiny_training import Recipe, Recorder, tiny_trainer
from torch import Tensor
from torch.nn import Parameter

from specforge.foundation.errors import CorruptStateError
from specforge.training.checkpoints import Checkpoints
from specforge.training.ema import Ema
from specforge.training.loading import MicroBatch
from specforge.training.non_finite import NonFinitePolicy
from specforge.training.parallel.process import Parallel
from specforge.training.state import TrainingState
from specforge.training.trainer import Trainer
from specforge.training.updater import Updater
from specforge.training.weights import module_weights, read_weights, weight_bytes

_APPLIED, _LEFT_OUT = torch.tensor(True), torch.tensor(False)  # as a device says it
_RECIPE = Recipe(max_updates=22, lr=0.05, ema_decay=0.6)
_SKIPPING = NonFinitePolicy(skip=1)
_GOING_BACK = NonFinitePolicy(rollback=3, leave_out=6, at_most=1)


def _one(decay: float = 0.9) -> tuple[Parameter, Ema]:
    parameter = Parameter(torch.tensor([1.0, -2.0]))
    return parameter, Ema([("model.weight", parameter)], decay)


def _give(parameter: Parameter, *values: float) -> None:
    parameter.data.copy_(torch.tensor(values))


def test_averages_by_hand() -> None:
    parameter, ema = _one()
    _give(parameter, 2.0, 9.0)
    ema.move(_APPLIED)  # keeps 2 of 11 parts
    torch.testing.assert_close(torch.tensor([20 / 11, 7.0]), ema.state()["model.weight"])

    _give(parameter, 4.0, -1.0)
    ema.move(_APPLIED)  # keeps 3 of 12

    torch.testing.assert_close(torch.tensor([20 / 11 / 4 + 3.0, 1.0]), ema.state()["model.weight"])
    assert 2.0 == ema.state()["updates"].item()


def test_the_decay_is_the_most_that_is_kept() -> None:
    parameter, ema = _one(decay=0.125)
    _give(parameter, 9.0, 6.0)
    ema.move(_APPLIED)

    torch.testing.assert_close(torch.tensor([8.0, 5.0]), ema.state()["model.weight"])


def test_an_update_that_is_left_out_moves_nothing_and_does_not_count() -> None:
    parameter, ema = _one()
    _give(parameter, 2.0, 9.0)
    ema.move(_APPLIED)
    before = {name: tensor.clone() for name, tensor in ema.state().items()}
    _give(parameter, 7.0, 7.0)

    ema.move(_LEFT_OUT)

    assert all(torch.equal(tensor, before[name]) for name, tensor in ema.state().items())


def test_weights_come_back_bit_for_bit_after_a_failure_too() -> None:
    parameter, ema = _one()
    _give(parameter, 0.1, 1e-40)  # a number below the normal ones
    before = parameter.detach().clone()

    with pytest.raises(KeyboardInterrupt), ema.in_place():  # noqa: PT012
        assert torch.equal(torch.tensor([1.0, -2.0]), parameter.data)
        raise KeyboardInterrupt

    assert torch.equal(before.view(torch.int32), parameter.data.view(torch.int32))
    assert torch.equal(torch.tensor([1.0, -2.0]), ema.state()["model.weight"])


@pytest.mark.parametrize(
    "wrong", [{"updates": torch.zeros(())}, {"model.weight": torch.zeros(3), "updates": torch.zeros(())}]
)
def test_averages_of_another_model_are_refused(wrong: dict[str, Tensor]) -> None:
    with pytest.raises(CorruptStateError, match=r"do not fit the model: `model\.weight`") as caught:
        _one()[1].load(wrong, Path("/there/ema.safetensors"))

    assert ("SF614", "/there/ema.safetensors") == (caught.value.code, str(caught.value.place))


@contextmanager
def _noted() -> Iterator[dict[int, list[Tensor]]]:
    """Return a context in which the weights after each update are noted by its number, the last time that it is done."""
    noted: dict[int, list[Tensor]] = {}
    apply = Updater.apply

    def noting(self: Updater, pieces: Sequence[MicroBatch], lr: float, updates: int) -> None:
        apply(self, pieces, lr, updates)
        noted[updates + 1] = [parameter.detach().double() for _, parameter in self._strategy.trainable()]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "apply", noting)
        yield noted


def _averages(trainer: Trainer) -> list[Tensor]:
    assert trainer._ema is not None
    return [average for name, average in trainer._ema.state().items() if name != "updates"]


@pytest.mark.parametrize(
    "recipe",
    [
        _RECIPE,
        replace(_RECIPE, nan_at=3, non_finite=_SKIPPING),
        replace(_RECIPE, items=100, poisoned=(11,), non_finite=_GOING_BACK),
    ],
    ids=["all", "one-left-out", "back-and-on"],
)
def test_the_average_follows_the_updates_that_were_applied(recipe: Recipe, tmp_path: Path) -> None:
    trainer, _ = tiny_trainer(recipe, tmp_path)
    expected = [parameter.detach().double() for _, parameter in trainer._strategy.trainable()]

    with _noted() as noted:
        state = trainer.train().state

    assert bool(state.skipped) == (recipe.non_finite is _SKIPPING)
    assert bool(state.rollbacks) == (recipe.non_finite is _GOING_BACK)
    applied = [noted[update] for update in sorted(noted) if update not in state.skipped and update <= 22]
    for count, weights in enumerate(applied, 1):
        decay = min(0.6, (1 + count) / (10 + count))
        expected = [decay * average + (1 - decay) * weight for average, weight in zip(expected, weights, strict=True)]
    for average, wanted in zip(_averages(trainer), expected, strict=True):
        torch.testing.assert_close(average.double(), wanted, rtol=1e-5, atol=1e-6)


def _snapshots(work: Path, state: TrainingState) -> list[dict[str, Tensor]]:
    return [read_weights(work / "validated" / one.snapshot / "model.safetensors") for one in state.validations]


def test_averages_are_validated_and_kept_and_training_does_not_feel_it(tmp_path: Path) -> None:
    recipe = replace(_RECIPE, average_last=9)
    plain, module = tiny_trainer(replace(recipe, ema_decay=None), tmp_path / "plain")
    plain_state = plain.train().state
    trainer, averaged = tiny_trainer(recipe, tmp_path / "averaged")
    state = trainer.train().state

    assert weight_bytes(module_weights(module)) == weight_bytes(module_weights(averaged))
    assert plain_state.validations != state.validations
    for snapshot, validation in zip(_snapshots(tmp_path / "averaged", state), state.validations, strict=True):
        for name, tensor in module_weights(module.model).items():
            tensor.copy_(snapshot[name])
        assert validation.values == plain._figures()


def test_what_is_published_is_the_average(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(_RECIPE, tmp_path)
    trainer.train()
    before, averages = weight_bytes(module_weights(module)), [average.clone() for average in _averages(trainer)]

    with trainer.published_weights():
        assert all(
            torch.equal(weight, one) for (_, weight), one in zip(trainer._strategy.trainable(), averages, strict=True)
        )

    assert before == weight_bytes(module_weights(module))


def test_the_last_figures_are_those_of_the_averages_too(tmp_path: Path) -> None:
    trainer, _ = tiny_trainer(_RECIPE, tmp_path)
    outcome = trainer.train()
    averages = {name: tensor for name, tensor in trainer._ema.state().items() if name != "updates"}  # type: ignore[union-attr]

    assert not outcome.state.validated, "it ends off the grid"
    assert trainer._figures() != outcome.last_values
    for name, weight in trainer._strategy.trainable():
        weight.data.copy_(averages[name])
    assert trainer._figures() == outcome.last_values


def _ended(work: Path, recipe: Recipe = _RECIPE, recorder: Recorder | None = None) -> list[Any]:
    """Train, and return all that is left of it."""
    trainer, module = tiny_trainer(recipe, work, recorder)
    state = trainer.train().state
    assert trainer._ema is not None
    left = [weight_bytes(module_weights(module)), weight_bytes(trainer._ema.state())]
    kept = sorted(path.name for path in (work / "validated").iterdir())  # names hold digests
    return [state.model_dump(exclude={"seconds"}), kept, *left]


def test_a_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = _ended(tmp_path / "whole")
    for updates in (7, 13):
        _ended(tmp_path / "cut", replace(_RECIPE, max_updates=updates))

    assert whole == _ended(tmp_path / "cut")


def test_damaged_averages_are_put_aside_with_their_checkpoint(tmp_path: Path) -> None:
    whole = _ended(tmp_path / "whole")
    _ended(tmp_path / "cut", replace(_RECIPE, max_updates=12))
    path = tmp_path / "cut" / "checkpoints" / "12" / "ema.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x10
    path.write_bytes(data)
    recorder = Recorder()

    assert whole == _ended(tmp_path / "cut", recorder=recorder)
    assert [f"`ema.safetensors` does not match its manifest ({path})"] == recorder.warnings[:1]
    assert "12` is damaged; it is kept as `corrupt-12." in recorder.warnings[1]
    assert "training goes on after 6 updates" in recorder.messages


def test_a_checkpoint_without_averages_is_not_taken_for_one_with_them(tmp_path: Path) -> None:
    tiny_trainer(replace(_RECIPE, ema_decay=None, max_updates=6), tmp_path)[0].train()
    checkpoints: Checkpoints = tiny_trainer(_RECIPE, tmp_path)[0]._saving._checkpoints

    with pytest.raises(CorruptStateError) as caught:
        checkpoints.read(tmp_path / "checkpoints" / "6", with_ema=True)

    assert "SF614" == caught.value.code


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return found_by("process_of_averages.py", 2, tmp_path_factory.mktemp("averages"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_publish_what_one_does(strategy: str, processes: list[Any], tmp_path: Path) -> None:
    alone: Any = published(Parallel(torch.device("cpu")), AVERAGED, tmp_path)
    found = [process[strategy] for process in processes]

    # FSDP sums in float32.
    rtol, atol = (1e-9, 1e-10) if strategy == "ddp" else (1e-5, 1e-6)
    assert alone["weights"].keys() == found[0]["weights"].keys()
    for name, weights in alone["weights"].items():
        torch.testing.assert_close(torch.tensor(found[0]["weights"][name]), torch.tensor(weights), rtol=rtol, atol=atol)
    for one in found:
        for figure in ("valid", "last"):
            torch.testing.assert_close(torch.tensor(one[figure]), torch.tensor(alone[figure]), rtol=rtol, atol=atol)
