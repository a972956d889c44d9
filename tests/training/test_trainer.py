"""The trainer's promises: one trajectory whatever interrupts it, validated on its grid, and reported as it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from math import log
from pathlib import Path

import pytest
import torch
from tiny_training import (
    ONE_UPDATE,
    ListCorpus,
    Recipe,
    Recorder,
    falling,
    tiny_loader,
    tiny_module,
    tiny_trainer,
)
from torch import Tensor

from specforge.foundation.errors import ExitCode, StepFailedError, StoppedRunError
from specforge.foundation.events import Scalar
from specforge.foundation.seeds import derived_seed
from specforge.plugin import Progress
from specforge.training.checkpoints import Checkpoints
from specforge.training.module import TrainingModule
from specforge.training.optimizer_state import optimizer_state
from specforge.training.parallel.process import Parallel
from specforge.training.settings import Every
from specforge.training.stopping import StopRequest
from specforge.training.trainer import Trainer
from specforge.training.validation import TextScore
from specforge.training.weights import module_weights, weight_bytes

_CPU = Parallel(torch.device("cpu"))


def _end(recipe: Recipe, work: Path, stop: StopRequest | None = None, reporter: Recorder | None = None) -> list[bytes]:
    """Train to the end of the budget; return everything that must be equal, as bytes."""
    trainer, module = tiny_trainer(recipe, work, reporter, stop)
    outcome = trainer.train()
    tensors, rest = optimizer_state(trainer._updater._optimizer, module.trainable())
    state = outcome.state.model_dump(exclude={"seconds"})
    return [
        weight_bytes(module_weights(module)),
        weight_bytes(tensors),
        json.dumps([state, rest, outcome.last_values]).encode(),
    ]


class Stopper(Recorder):
    """Asks for a stop while an update is computed: as soon as the log shows the one before."""

    def __init__(self, request: StopRequest, update: int) -> None:
        super().__init__()
        self._request = request
        self._update = update
        if update == 1:
            request.make()

    def record(self, name: str, **values: Scalar) -> None:
        super().record(name, **values)
        if name == "train" and values["updates"] == self._update - 1:
            self._request.make()


_LONG = Recipe(max_updates=22)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return _end(_LONG, tmp_path_factory.mktemp("uninterrupted"))


def test_the_budget_ends_in_the_fourth_epoch() -> None:
    counts = [tiny_loader(_LONG, _CPU).updates_in(epoch) for epoch in (1, 2, 3, 4)]

    assert [6, 6, 6, 6] == counts


def test_training_is_a_function_of_its_recipe(uninterrupted: list[bytes], tmp_path: Path) -> None:
    torch.manual_seed(99)  # nothing may depend on who drew random numbers before

    assert uninterrupted == _end(_LONG, tmp_path)
    assert uninterrupted != _end(replace(_LONG, seed=4), tmp_path / "other")


def test_every_micro_batch_has_dropout_masks_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    trainer, _ = tiny_trainer(replace(_LONG, max_updates=3), tmp_path)
    seeds.clear()  # of the first weights
    trainer.train()

    with closing(tiny_loader(_LONG, _CPU).updates(epoch=1, position=0)) as updates:
        pieces = [len(update.pieces) for update in islice(updates, 3)]
    assert max(pieces) > 1
    numbers = [(update, piece) for update, count in enumerate(pieces) for piece in range(count)]
    assert [derived_seed(3, "dropout", update, piece) for update, piece in numbers] == seeds


@pytest.mark.parametrize("budgets", [(1,), (12,), (15,), (5, 6, 13, 21)])
def test_a_raised_budget_equals_one_uninterrupted_run(
    budgets: tuple[int, ...], uninterrupted: list[bytes], tmp_path: Path
) -> None:
    for budget in budgets:
        _end(replace(_LONG, max_updates=budget), tmp_path)

    recorder = Recorder()
    assert uninterrupted == _end(_LONG, tmp_path, reporter=recorder)
    assert budgets[-1] + 1 == recorder.named("train")[0]["updates"]


def test_a_raised_number_of_epochs_equals_one_uninterrupted_run(tmp_path: Path) -> None:
    whole = _end(replace(_LONG, max_updates=None, max_epochs=3), tmp_path / "whole")
    _end(replace(_LONG, max_updates=None, max_epochs=1), tmp_path / "raised")

    assert whole == _end(replace(_LONG, max_updates=None, max_epochs=3), tmp_path / "raised")


def test_a_raised_patience_equals_one_uninterrupted_run(tmp_path: Path) -> None:
    hectic = replace(_LONG, lr=0.5, validate_every=Every(2, "update"))
    impatient, recorder = replace(hectic, patience=1), Recorder()
    whole = _end(hectic, tmp_path / "whole")

    _end(impatient, tmp_path / "raised", reporter=recorder)

    last = recorder.named("valid")[-1]
    assert (last["best"], last["updates"] == 22) == (False, False), "patience ended it"
    assert whole == _end(hectic, tmp_path / "raised")


@pytest.mark.parametrize("update", [1, 5, 14, 17])
def test_sigterm_saves_and_the_next_run_goes_on_from_there(
    update: int, uninterrupted: list[bytes], tmp_path: Path
) -> None:
    request = StopRequest()
    with pytest.raises(StoppedRunError, match=f"after {update} updates; the state is saved") as caught:
        _end(_LONG, tmp_path, request, Stopper(request, update))
    assert (ExitCode.STOPPED, "SF643") == (caught.value.exit_code, caught.value.code)

    recorder = Recorder()
    assert uninterrupted == _end(_LONG, tmp_path, reporter=recorder)
    assert update + 1 == recorder.named("train")[0]["updates"]


def test_a_stop_in_the_middle_of_a_validation_loses_no_update(tmp_path: Path) -> None:
    request = StopRequest()

    def decoding(request: StopRequest) -> TextScore:
        def decode(numbers: Sequence[int]) -> list[str]:
            request.make()
            return [str(number) for number in numbers]

        return TextScore("length", higher_is_better=True, decode=decode, score=lambda lines: float(len("".join(lines))))

    recipe = replace(_LONG, max_updates=8)
    whole = _end(replace(recipe, text_score=decoding(StopRequest()), log_every=100), tmp_path / "whole")
    with pytest.raises(StoppedRunError, match="after 5 updates"):
        _end(replace(recipe, text_score=decoding(request)), tmp_path / "stopped", request)
    assert ["5-validating"] == [
        path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir() if path.name[0] == "5"
    ]

    recorder = Recorder()
    assert whole == _end(replace(recipe, text_score=decoding(StopRequest())), tmp_path / "stopped", reporter=recorder)
    assert [5, 8] == [values["updates"] for values in recorder.named("valid")]
    assert 6 == recorder.named("train")[0]["updates"]


def test_a_validation_that_was_cut_short_at_the_end_of_the_budget_is_saved_once_it_is_made(tmp_path: Path) -> None:
    """The checkpoint of that update holds the weights, but not yet the validation."""
    request = StopRequest()

    def length(lines: Sequence[str]) -> float:
        return float(len("".join(lines)))

    def decode(numbers: Sequence[int]) -> list[str]:
        request.make()
        return [str(number) for number in numbers]

    recipe = replace(_LONG, max_updates=5, text_score=TextScore("length", True, decode, length))
    with pytest.raises(StoppedRunError, match="after 5 updates"):
        _end(recipe, tmp_path, request)
    _end(recipe, tmp_path)

    recorder = Recorder()
    _end(recipe, tmp_path, reporter=recorder)
    assert [] == recorder.named("valid"), "validated a second time: the first one was not saved"
    assert ["5", "5-validating"] == sorted(path.name for path in (tmp_path / "checkpoints").iterdir())


class _PowerCut(BaseException):
    """What no code of ours may catch for good."""


def _cut_power(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Let the n-th fsync or rename of the storage layer be the last thing that the process does."""
    done = [0]

    def failing(call: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            done[0] += 1
            if done[0] > after:
                raise _PowerCut
            call(*arguments)

        return guarded

    for name in ("fsync", "rename"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    return done


@pytest.mark.parametrize("after", [0, 9, 18, 27, 36, 45])
def test_a_crash_at_any_moment_of_saving_is_made_good(
    after: int, uninterrupted: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        done = _cut_power(patch, after)
        with pytest.raises(_PowerCut):
            _end(_LONG, tmp_path)
        assert done[0] > after

    assert uninterrupted == _end(_LONG, tmp_path)
    assert [] == list((tmp_path / "tmp").iterdir())


def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_goes_on(
    uninterrupted: list[bytes], tmp_path: Path
) -> None:
    _end(replace(_LONG, max_updates=20), tmp_path)
    weights = tmp_path / "checkpoints" / "20" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)

    recorder = Recorder()
    assert uninterrupted == _end(_LONG, tmp_path, reporter=recorder)
    assert 19 == recorder.named("train")[0]["updates"], "it goes on after update 18"
    assert any("`model.safetensors` does not match its manifest" in warning for warning in recorder.warnings)
    assert any(path.name.startswith("corrupt-20.") for path in (tmp_path / "checkpoints").iterdir())


def test_a_smaller_budget_uses_no_later_checkpoint_and_leaves_it(tmp_path: Path) -> None:
    small = _end(replace(_LONG, max_updates=8), tmp_path / "small")
    _end(_LONG, tmp_path / "large")

    recorder = Recorder()
    assert small == _end(replace(_LONG, max_updates=8), tmp_path / "large", reporter=recorder)
    assert 1 == recorder.named("train")[0]["updates"]
    assert {"6", "8", "18", "22"} == {path.name for path in (tmp_path / "large" / "checkpoints").iterdir()}


def test_tokens_and_seconds_count_over_all_attempts(tmp_path: Path) -> None:
    first = tiny_trainer(replace(_LONG, max_updates=6), tmp_path)[0].train().state
    recorder = Recorder()
    second = tiny_trainer(replace(_LONG, max_updates=12), tmp_path, recorder)[0].train().state

    assert 40 == sum(len(_plan_of(epoch)) for epoch in (1, 2)) / 2, "two whole epochs"
    assert 2 * first.tokens == second.tokens == 2 * sum(len(item["target"]) for item in ListCorpus(40, seed=1).items)
    assert 0 < first.seconds < float(str(recorder.named("train")[0]["seconds"])) < second.seconds


def _plan_of(epoch: int) -> list[int]:
    with closing(tiny_loader(_LONG, _CPU).updates(epoch, position=0)) as updates:
        return [int(item) for update in islice(updates, 6) for item in update.update.items]


def test_another_environment_is_named(tmp_path: Path) -> None:
    _end(replace(_LONG, max_updates=3), tmp_path)

    recorder = Recorder()
    _end(replace(_LONG, max_updates=4, max_tokens=12), tmp_path, reporter=recorder)

    assert [
        "other max_tokens than before: results may differ in the last bits, and dropout draws other masks from here on"
    ] == recorder.warnings


def test_another_number_of_devices_is_said_to_matter_in_the_last_bits_only(tmp_path: Path) -> None:
    settings = replace(tiny_trainer(_LONG, tmp_path)[0]._settings, environment={"devices": 2, "max_tokens": 8})

    assert "other devices than before: results may differ in the last bits" == settings.other_than(
        {"devices": 1, "max_tokens": 8}
    )
    assert settings.other_than({"devices": 2, "max_tokens": 8, "gone": 1}) is None


def test_validation_by_epochs_stands_at_the_ends_of_epochs(tmp_path: Path) -> None:
    recipe, recorder = replace(_LONG, max_updates=None, max_epochs=4, validate_every=Every(2, "epoch")), Recorder()
    _end(recipe, tmp_path, reporter=recorder)

    counts = [tiny_loader(recipe, _CPU).updates_in(epoch) for epoch in (1, 2, 3, 4)]
    found = [(values["updates"], values["epoch"]) for values in recorder.named("valid")]
    assert [(sum(counts[:2]), 2), (sum(counts), 4)] == found
    assert sum(counts) == recorder.named("train")[-1]["updates"]


def test_validated_weights_do_not_pile_up_while_nothing_is_saved(tmp_path: Path) -> None:
    class Counting(Recorder):
        def record(self, name: str, **values: Scalar) -> None:
            super().record(name, **values)
            if name == "valid":
                kept.append(len(list((tmp_path / "validated").iterdir())))

    kept: list[int] = []
    every = Every(1, "update")
    _end(replace(_LONG, validate_every=every, checkpoint_every=Every(99, "update")), tmp_path, reporter=Counting())

    assert 22 == len(kept)
    assert max(kept) <= 3, "the best and the last two"


def test_an_end_off_the_grid_is_reported_and_enters_no_state(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer, _ = tiny_trainer(replace(_LONG, max_updates=12), tmp_path, recorder)
    outcome = trainer.train()

    assert [5, 10] == [validation.updates for validation in outcome.state.validations]
    assert [5, 10, 12] == [values["updates"] for values in recorder.named("valid")]
    assert outcome.last_values["loss"] == recorder.named("valid")[-1]["loss"]
    assert recorder.named("valid")[-1]["best"] is False


@pytest.mark.parametrize(
    ("recipe", "ending"),
    [
        (replace(_LONG, max_updates=3), "max_updates"),
        (replace(_LONG, max_epochs=1), "max_epochs"),
        (replace(_LONG, lr=0.5, validate_every=Every(2, "update"), patience=1), "patience"),
        (replace(_LONG, stop_min_lr=0.016), "stop_min_lr"),
    ],
)
def test_training_says_what_ended_it(recipe: Recipe, ending: str, tmp_path: Path) -> None:
    trainer, _ = tiny_trainer(recipe, tmp_path)

    assert ending == trainer.train().ending


def test_the_rate_ends_training_only_while_it_does_not_rise(tmp_path: Path) -> None:
    def peak(progress: Progress) -> float:  # 0, 1, 2, 3, 2, 1, 0, …
        return float(3 - abs(3 - progress.updates))

    trainer, _ = tiny_trainer(replace(_LONG, stop_min_lr=2.5), tmp_path)
    trainer._schedule = peak

    # After 4 updates the next rate would be 2; after 1 and 2 it was as small, and rising.
    assert 4 == trainer.train().state.updates


def test_the_log_of_an_update_by_hand(tmp_path: Path) -> None:
    recorder = Recorder()
    tiny_trainer(replace(ONE_UPDATE, max_tokens=20), tmp_path, recorder)[0].train()

    module = tiny_module(ONE_UPDATE)
    items = ListCorpus(8, seed=1).items
    loss = module(tiny_loader(ONE_UPDATE, _CPU)._task.collate(items))
    targets = sum(len(item["target"]) for item in items)
    (line,) = recorder.named("train")
    assert loss.total.item() / targets / log(2) == pytest.approx(line["loss"])
    assert 2 ** (loss.nll.item() / targets / log(2)) == pytest.approx(line["ppl"])
    assert (1, 1, 1.0) == (line["updates"], line["epoch"], line["lr"])
    assert targets == line["tokens_per_update"]
    assert 0 < float(str(line["padding_percent"])) < 50


def test_a_line_every_so_many_updates(tmp_path: Path) -> None:
    recorder = Recorder()
    _end(replace(_LONG, max_updates=14, log_every=5), tmp_path, reporter=recorder)

    assert [5, 10] == [values["updates"] for values in recorder.named("train")]
    assert [0.02 * falling(Progress(updates, 1)) for updates in (4, 9)] == [
        values["lr"] for values in recorder.named("train")
    ]


def test_keeping_validated_weights_does_not_count_as_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = Checkpoints.snapshot

    def slow(self: Checkpoints, updates: int, weights: Mapping[str, Tensor]) -> str:
        time.sleep(0.5)
        return snapshot(self, updates, weights)

    monkeypatch.setattr(Checkpoints, "snapshot", slow)
    recorder = Recorder()
    _end(replace(_LONG, max_updates=7, log_every=7), tmp_path, reporter=recorder)

    (line,) = recorder.named("train")
    assert float(str(line["tokens_per_second"])) > 7 * float(str(line["tokens_per_update"])) / 0.5


def test_progress_knows_where_it_ends(tmp_path: Path) -> None:
    by_updates, by_epochs = Recorder(), Recorder()
    _end(replace(_LONG, max_updates=14), tmp_path / "updates", reporter=by_updates)
    _end(replace(_LONG, max_updates=None, max_epochs=1), tmp_path / "epochs", reporter=by_epochs)

    assert (14, 14) == by_updates.bars[-1]
    count = tiny_loader(_LONG, _CPU).updates_in(1)
    assert (count, count) == by_epochs.bars[-1]


def test_task_and_model_are_told_the_updates_before_each_and_before_each_validation(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(replace(_LONG, max_updates=4, validate_every=Every(2, "update")), tmp_path)
    trainer.train()

    # Validated after 2 and after 4.
    assert [0, 1, 2, 2, 3, 4] == module.model.told == module._task.told  # type: ignore[attr-defined]  # a TinyTask


def test_a_loss_that_is_no_number_ends_training_before_the_weights_take_harm(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(replace(_LONG, nan_at=9), tmp_path)

    with pytest.raises(StepFailedError, match="update 10 has a loss of nan") as caught:
        trainer.train()

    assert "SF633" == caught.value.code
    assert all(torch.isfinite(tensor).all() for tensor in module_weights(module).values())
    assert {"6"} == {path.name for path in (tmp_path / "checkpoints").iterdir()}


def test_weights_that_are_no_numbers_reach_no_checkpoint(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(replace(_LONG, checkpoint_every=Every(3, "update")), tmp_path)
    _spoil_after(trainer, module, updates=6)

    with pytest.raises(StepFailedError, match="after 6 updates a weight is not finite"):
        trainer.train()

    assert {"3"} == {path.name for path in (tmp_path / "checkpoints").iterdir()}


def _spoil_after(trainer: Trainer, module: TrainingModule, updates: int) -> None:
    steps = [0]

    def spoil(*_: object) -> None:
        steps[0] += 1
        if steps[0] == updates:
            with torch.no_grad():
                module.model.get_parameter("hidden.bias")[0] = float("inf")

    trainer._updater._optimizer.register_step_post_hook(spoil)
