"""Saves in the background: the same bytes, never two at a time, and no failure that stays silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import Recipe, Recorder, tiny_trainer

from specforge.foundation import durable
from specforge.foundation.errors import StepFailedError, StoppedRunError
from specforge.foundation.events import Scalar
from specforge.training.checkpoints import Checkpoints
from specforge.training.loading import MicroBatch
from specforge.training.non_finite import NonFinitePolicy
from specforge.training.resumable import Resumable
from specforge.training.saving import Saving
from specforge.training.settings import Every
from specforge.training.stopping import StopRequest
from specforge.training.weights import module_weights, weight_bytes

_ALWAYS = Every(0, "minute")
"""A save after every update."""

_RECIPE = Recipe(max_updates=12, lr=0.05, ema_decay=0.9, checkpoint_every=_ALWAYS)
_IN_STEP = replace(_RECIPE, checkpoint_every=Every(1, "update"))


@contextmanager
def _in_saves(name: str, action: object) -> Iterator[None]:
    """Return a context in which a function of `Checkpoints` is another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, name, action)
        yield


def _ended(work: Path, recipe: Recipe = _RECIPE) -> list[object]:
    trainer, module = tiny_trainer(recipe, work)
    state = trainer.train().state
    return [state.model_dump(exclude={"seconds"}), weight_bytes(module_weights(module))]


def test_what_is_saved_is_the_state_of_its_update_and_not_of_a_later_one(tmp_path: Path) -> None:
    """Each save waits until training has gone on, and holds what one in step holds."""
    trainer, _ = tiny_trainer(_RECIPE, tmp_path / "background")
    save, apply = Checkpoints.save, trainer._updater.apply
    done, gone_on = [0], threading.Condition()

    def going_on(pieces: Sequence[MicroBatch], lr: float, updates: int) -> None:
        apply(pieces, lr, updates)
        with gone_on:
            done.append(updates + 1)
            gone_on.notify_all()

    def late(self: Checkpoints, resumable: Resumable, *, complete: bool) -> None:
        with gone_on:  # the weights are those after the next update
            assert gone_on.wait_for(lambda: done[-1] > resumable.state.updates or done[-1] == 12, 60)
        save(self, resumable, complete=complete)

    trainer._updater.apply = going_on  # type: ignore[method-assign]
    with _in_saves("save", late):
        trainer.train()
    _ended(tmp_path / "in step", _IN_STEP)

    for name in ("11", "12"):
        both = [tmp_path / folder / "checkpoints" / name for folder in ("background", "in step")]
        for file in ("model", "optimizer", "ema"):
            assert 1 == len({(path / f"{file}.safetensors").read_bytes() for path in both})


def test_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = _ended(tmp_path / "whole", replace(_RECIPE, checkpoint_every=Every(100, "update")))
    for updates in (3, 7):
        _ended(tmp_path / "cut", replace(_RECIPE, max_updates=updates))

    assert whole == _ended(tmp_path / "cut")


def test_an_interval_in_updates_is_waited_for(tmp_path: Path) -> None:
    """Or a kill might cost more updates than it says."""
    threads: list[str] = []
    save = Checkpoints.save

    def noting(self: Checkpoints, resumable: object, *, complete: bool) -> None:
        threads.append(threading.current_thread().name.partition("_")[0])
        save(self, resumable, complete=complete)  # type: ignore[arg-type]

    with _in_saves("save", noting):
        _ended(tmp_path / "in step", _IN_STEP)
        assert {"MainThread"} == set(threads)
        threads.clear()
        _ended(tmp_path / "background")
        assert {"saving"} == set(threads)


@pytest.mark.parametrize(
    "recipe",
    [
        _RECIPE,
        replace(_RECIPE, items=100, poisoned=(11, 72), non_finite=NonFinitePolicy(rollback=3, leave_out=4, at_most=20)),
    ],
    ids=["validated", "gone back"],
)
def test_nothing_else_looks_at_checkpoints_while_one_is_written(recipe: Recipe, tmp_path: Path) -> None:
    """Each save is held until the main thread comes back to `Saving`, and a moment longer."""
    at_work, come_back, seen = threading.Lock(), threading.Event(), list[str]()

    def alone(name: str) -> object:
        real = getattr(Checkpoints, name)

        def guarded(self: Checkpoints, *arguments: object, **options: object) -> object:
            assert at_work.acquire(blocking=False), f"{name} beside another one"
            try:
                if name == "save":
                    come_back.wait(5)
                    time.sleep(0.05)
                    come_back.clear()
                seen.append(name)
                return real(self, *arguments, **options)
            finally:
                at_work.release()

        return guarded

    def coming(name: str) -> object:
        real = getattr(Saving, name)

        def told(self: Saving, *arguments: object, **options: object) -> object:
            come_back.set()
            return real(self, *arguments, **options)

        return told

    with pytest.MonkeyPatch.context() as patch:
        for name in ("snapshot", "newest", "save"):
            patch.setattr(Checkpoints, name, alone(name))
        for name in ("snapshot", "newest", "save", "wait"):
            patch.setattr(Saving, name, coming(name))
        _ended(tmp_path, recipe)

    assert {"snapshot", "newest", "save"} == set(seen)
    assert (seen.count("newest") > 1) == bool(recipe.poisoned)


def _failing(at: int) -> object:
    """Return a save that fails once: after so many updates."""
    save = Checkpoints.save

    def failing(self: Checkpoints, resumable: object, *, complete: bool) -> None:
        if resumable.state.updates == at:  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device", "/full")
        save(self, resumable, complete=complete)  # type: ignore[arg-type]

    return failing


@pytest.mark.parametrize("at", [1, 5, 6, 12])
def test_a_save_that_fails_ends_training_with_its_own_error_and_loses_nothing(at: int, tmp_path: Path) -> None:
    recorder = Recorder()
    with _in_saves("save", _failing(at)), pytest.raises(OSError, match="/full") as caught:
        tiny_trainer(_RECIPE, tmp_path / "cut", recorder)[0].train()
    assert 28 == caught.value.errno
    done = [values["updates"] for values in recorder.named("train")][-1]
    assert isinstance(done, int)
    assert done <= at + 2  # it is heard of at the next update, or at the next save

    names = {path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()}
    assert str(at) not in names
    assert at == 1 or str(at - 1) in names
    assert _ended(tmp_path / "whole", _IN_STEP) == _ended(tmp_path / "cut")


def test_a_save_that_failed_is_heard_of_at_the_next_update(tmp_path: Path) -> None:
    """With nothing else to wait for it: the next save would come after minutes."""
    recorder = Recorder()
    trainer, _ = tiny_trainer(replace(_RECIPE, validate_every=Every(11, "update")), tmp_path, recorder)

    def once() -> bool:
        if trainer._saving._writing is not None:
            trainer._saving._writing.exception()  # waits until it is known
        return trainer._state.updates == 3

    trainer._saving.time_reached = once  # type: ignore[method-assign]
    with _in_saves("save", _failing(4)), pytest.raises(OSError, match="/full"):
        trainer.train()

    assert [1, 2, 3, 4] == [values["updates"] for values in recorder.named("train")]


class _Stopping(Recorder):
    def __init__(self, request: StopRequest) -> None:
        super().__init__()
        self._request = request

    def record(self, name: str, **values: Scalar) -> None:
        super().record(name, **values)
        if name == "train" and values["updates"] == 7:
            self._request.make()


def test_a_stop_is_told_when_the_state_is_on_disk(tmp_path: Path) -> None:
    request = StopRequest()
    with pytest.raises(StoppedRunError, match=r"after [78] updates; the state is saved"):
        tiny_trainer(_RECIPE, tmp_path / "cut", _Stopping(request), request)[0].train()

    newest = max(int(path.name) for path in (tmp_path / "cut" / "checkpoints").iterdir())
    assert newest in {7, 8}
    durable.verify(tmp_path / "cut" / "checkpoints" / str(newest))
    assert _ended(tmp_path / "whole", _IN_STEP) == _ended(tmp_path / "cut")


def test_a_stop_whose_save_fails_does_not_say_that_the_state_is_saved(tmp_path: Path) -> None:
    request = StopRequest()
    recipe = replace(_RECIPE, checkpoint_every=Every(100, "minute"))
    with _in_saves("save", _failing(8)), pytest.raises(OSError, match="/full"):
        tiny_trainer(recipe, tmp_path, _Stopping(request), request)[0].train()


def test_a_save_that_is_under_way_is_finished_when_something_else_ends_training(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(StepFailedError, match="update 4 has a loss of nan"):
        tiny_trainer(replace(_RECIPE, nan_at=3), tmp_path, recorder)[0].train()

    durable.verify(tmp_path / "checkpoints" / "3")
    assert [] == [warning for warning in recorder.warnings if "save" in warning]


def test_a_save_that_fails_beside_another_error_is_told(tmp_path: Path) -> None:
    recorder, ending = Recorder(), threading.Event()
    leave = Saving.__exit__

    def leaving(self: Saving, *error: object) -> None:
        ending.set()
        leave(self, *error)  # type: ignore[arg-type]

    def failing(self: Checkpoints, resumable: Resumable, *, complete: bool) -> None:
        if resumable.state.updates == 3:
            assert ending.wait(60)
            raise OSError(28, "No space left on device")
        save(self, resumable, complete=complete)

    save = Checkpoints.save
    with _in_saves("save", failing), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Saving, "__exit__", leaving)
        with pytest.raises(StepFailedError, match="update 4 has a loss of nan"):
            tiny_trainer(replace(_RECIPE, nan_at=3), tmp_path, recorder)[0].train()

    assert ["the last save failed, too: [Errno 28] No space left on device"] == [
        warning for warning in recorder.warnings if "save" in warning
    ]


def test_weights_that_are_not_finite_are_not_saved_in_the_background_either(tmp_path: Path) -> None:
    trainer, module = tiny_trainer(_RECIPE, tmp_path)

    def spoil(*_: object) -> None:
        if trainer._state.updates == 6:
            next(module.parameters()).data.fill_(torch.inf)

    trainer._updater._optimizer.register_step_post_hook(spoil)
    with pytest.raises(StepFailedError, match=r"a weight is not finite|update 8 has a loss of nan") as caught:
        trainer.train()

    assert "SF633" == caught.value.code
    assert {"5", "6"} == {path.name for path in (tmp_path / "checkpoints").iterdir()}
